package serve

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// dashboard is the part of Grafana's model that deploy/grafana.json uses.
type dashboard struct {
	Title         string   `json:"title"`
	UID           string   `json:"uid"`
	SchemaVersion int      `json:"schemaVersion"`
	Editable      bool     `json:"editable"`
	Refresh       string   `json:"refresh"`
	Tags          []string `json:"tags"`
	Time          struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"time"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query string `json:"query"`
			Label string `json:"label"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID         int    `json:"id"`
		Type       string `json:"type"`
		Title      string `json:"title"`
		Datasource struct {
			Type string `json:"type"`
			UID  string `json:"uid"`
		} `json:"datasource"`
		GridPos     struct{ H, W, X, Y int } `json:"gridPos"`
		FieldConfig struct {
			Defaults  map[string]any `json:"defaults"`
			Overrides []any          `json:"overrides"`
		} `json:"fieldConfig"`
		Options map[string]any `json:"options"`
		Targets []struct {
			RefID        string `json:"refId"`
			Expr         string `json:"expr"`
			LegendFormat string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

// TestDashboard: Grafana's dashboard asks for numbers that the server has.
func TestDashboard(t *testing.T) {
	f, err := os.Open("../deploy/grafana.json")
	require.NoError(t, err)
	defer f.Close()
	var d dashboard
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&d))

	s := serveTest(t, nil)
	s.infer("/v2/models/small/infer", tensorRequest(testutil.Normal(1, 3*32*32), ""))
	_, _, text := s.do("GET", "/metrics", nil)
	places := map[[2]int]bool{}
	n := 0
	for _, p := range d.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		require.False(t, places[at], "two panels at one place")
		places[at] = true
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`\b(nonet|process|go)_[a-z_]+`).FindAllString(target.Expr, -1) {
				require.Regexp(t, `(?m)^`+name+`[ {]`, string(text), p.Title)
				n++
			}
		}
	}
	require.Greater(t, n, 12)
}
