package serve

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// TestOpenAPI: the description has each route and no other, and answers are as it says.
func TestOpenAPI(t *testing.T) {
	s := serveTest(t, nil)
	doc := s.json(200, "GET", "/openapi.json", nil)
	paths := doc["paths"].(map[string]any)
	var described []string
	for path, methods := range paths {
		for method := range methods.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	form, kind := formOf(map[string][]byte{"a": photo(1, 9, 9), "b": photo(2, 9, 9)})
	var routes []string
	for _, r := range s.routes() {
		routes = append(routes, r.pattern)
	}
	require.ElementsMatch(t, routes, described)

	for _, c := range []struct {
		schema string
		answer map[string]any
	}{
		{"Models", s.json(200, "GET", "/v1/models", nil)},
		{"Layers", s.json(200, "GET", "/v1/models/small/layers", nil)},
		{"Classification", s.json(200, "POST", "/v1/classify", photo(1, 9, 9))},
		{"Features", s.json(200, "POST", "/v1/features", photo(1, 9, 9))},
		{"Explanation", s.json(200, "POST", "/v1/explain?format=json", photo(1, 9, 9))},
		{"Distance", s.json(200, "POST", "/v1/distance", form, "Content-Type", kind)},
		{"Error", s.json(404, "GET", "/nix", nil)},
		{"InferenceResponse", s.json(200, "POST", "/v2/models/small/infer", tensorRequest(testutil.Normal(1, 3*32*32), ""))},
	} {
		schema := doc["components"].(map[string]any)["schemas"].(map[string]any)[c.schema].(map[string]any)
		require.NoError(t, conforms(schema, c.answer, c.schema))
	}
}

// conforms checks a value against a schema of the description, strictly: what a schema
// does not have is an error as well.
func conforms(schema map[string]any, v any, at string) error {
	kinds, _ := schema["type"].([]any)
	if kind, ok := schema["type"].(string); ok {
		kinds = []any{kind}
	}
	kind := map[bool]string{true: "null"}[v == nil]
	switch v := v.(type) {
	case string:
		kind = "string"
	case bool:
		kind = "boolean"
	case float64:
		kind = "number"
		if v == float64(int64(v)) && slices.Contains(kinds, any("integer")) {
			kind = "integer"
		}
	case []any:
		kind = "array"
		items, _ := schema["items"].(map[string]any)
		for i, e := range v {
			if items == nil {
				break
			}
			if err := conforms(items, e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		kind = "object"
		properties, _ := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%s has no %s", at, name)
			}
		}
		for name, e := range v {
			p, ok := properties[name].(map[string]any)
			if !ok {
				return fmt.Errorf("%s has a %s that is not described", at, name)
			}
			if err := conforms(p, e, at+"."+name); err != nil {
				return err
			}
		}
	}
	if !slices.Contains(kinds, any(kind)) {
		text, _ := json.Marshal(v)
		return fmt.Errorf("%s is %s, want %v", at, text, kinds)
	}
	return nil
}
