// Package deploy tests the manifests of this folder against Kubernetes's own types. It
// is a module of its own, so that nothing else depends on these.
package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// kinds are the types that a manifest may be of.
var kinds = map[string]func() any{
	"batch/v1 Job": func() any { return new(batchv1.Job) },
}

// TestManifests decodes every manifest strictly: a field that its kind does not have is
// an error, and so is one that stands twice.
func TestManifests(t *testing.T) {
	paths, err := filepath.Glob("kubernetes/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for doc := range strings.SplitSeq(string(text), "\n---\n") {
			var kind metav1.TypeMeta
			require.NoError(t, yaml.Unmarshal([]byte(doc), &kind), path)
			object, ok := kinds[kind.APIVersion+" "+kind.Kind]
			require.True(t, ok, "%s: unknown kind %s %s", path, kind.APIVersion, kind.Kind)
			require.NoError(t, yaml.UnmarshalStrict([]byte(doc), object()), path)
		}
	}
	require.Error(t, yaml.UnmarshalStrict([]byte("apiVersion: batch/v1\nkind: Job\nspec: {complete: 3}"), new(batchv1.Job)), "it is strict")
}

// TestExtractJob: the shards of the command are as many as the completions of the job,
// and each pod has its own.
func TestExtractJob(t *testing.T) {
	text, err := os.ReadFile("kubernetes/extract-job.yaml")
	require.NoError(t, err)
	var job batchv1.Job
	require.NoError(t, yaml.UnmarshalStrict(text, &job))
	require.Equal(t, batchv1.IndexedCompletion, *job.Spec.CompletionMode)
	require.LessOrEqual(t, *job.Spec.Parallelism, *job.Spec.Completions)
	require.LessOrEqual(t, *job.Spec.MaxFailedIndexes, *job.Spec.Completions)
	c := job.Spec.Template.Spec.Containers[0]
	require.Contains(t, c.Args, fmt.Sprintf("--shard=$(JOB_COMPLETION_INDEX)/%d", *job.Spec.Completions))
	for _, m := range c.VolumeMounts {
		require.True(t, slices.ContainsFunc(c.Args, func(a string) bool { return strings.Contains(a, "="+m.MountPath) }), m.MountPath)
	}
	require.Equal(t, c.Resources.Requests, c.Resources.Limits)
}
