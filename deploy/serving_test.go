package deploy

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// servingRuntime is the part of KServe's type that the manifest uses.
type servingRuntime struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Annotations           map[string]string `json:"annotations"`
		SupportedModelFormats []struct {
			Name       string `json:"name"`
			Version    string `json:"version"`
			AutoSelect bool   `json:"autoSelect"`
		} `json:"supportedModelFormats"`
		ProtocolVersions []string           `json:"protocolVersions"`
		MultiModel       bool               `json:"multiModel"`
		Containers       []corev1.Container `json:"containers"`
	} `json:"spec"`
}

// inferenceService is that of a model.
type inferenceService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Predictor struct {
			Model struct {
				ModelFormat struct {
					Name    string `json:"name"`
					Version string `json:"version"`
				} `json:"modelFormat"`
				ProtocolVersion string `json:"protocolVersion"`
				Runtime         string `json:"runtime"`
				StorageURI      string `json:"storageUri"`
			} `json:"model"`
		} `json:"predictor"`
	} `json:"spec"`
}

// read decodes the documents of a file, each strictly into its own type.
func read(t *testing.T, path string, into ...any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	docs := bytes.Split(text, []byte("\n---\n"))
	require.Len(t, docs, len(into), path)
	for i, doc := range docs {
		require.NoError(t, yaml.UnmarshalStrict(doc, into[i]), "%s, document %d", path, i)
	}
}

// checkContainer holds what every container of ours promises.
func checkContainer(t *testing.T, c corev1.Container) {
	t.Helper()
	require.Equal(t, "/v2/health/ready", c.ReadinessProbe.HTTPGet.Path)
	require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
	require.Equal(t, int32(8080), c.Ports[0].ContainerPort)
	require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	memory := c.Resources.Limits[corev1.ResourceMemory]
	require.Equal(t, int64(3<<30), memory.Value())
	require.NotZero(t, c.Resources.Requests.Cpu().Value())
}

func TestKubernetes(t *testing.T) {
	var d appsv1.Deployment
	var s corev1.Service
	var b policyv1.PodDisruptionBudget
	read(t, "kubernetes.yaml", &d, &s, &b)
	require.Equal(t, "apps/v1 Deployment", d.APIVersion+" "+d.Kind)
	require.Equal(t, "v1 Service", s.APIVersion+" "+s.Kind)
	require.Equal(t, "policy/v1 PodDisruptionBudget", b.APIVersion+" "+b.Kind)
	pod := d.Spec.Template
	for _, selector := range []map[string]string{d.Spec.Selector.MatchLabels, s.Spec.Selector, b.Spec.Selector.MatchLabels} {
		require.Equal(t, pod.Labels, selector)
	}
	c := pod.Spec.Containers[0]
	checkContainer(t, c)
	require.True(t, *pod.Spec.SecurityContext.RunAsNonRoot)
	require.Equal(t, c.Ports[0].Name, s.Spec.Ports[0].TargetPort.StrVal)
	require.Equal(t, pod.Spec.Volumes[0].Name, c.VolumeMounts[0].Name)
	require.Contains(t, strings.Join(c.Args, " "), c.VolumeMounts[0].MountPath+"/")
	require.Greater(t, *pod.Spec.TerminationGracePeriodSeconds, int64(35), "--notice and --drain")
}

func TestKServe(t *testing.T) {
	var r servingRuntime
	var s inferenceService
	read(t, "kserve.yaml", &r, &s)
	require.Equal(t, "serving.kserve.io/v1alpha1 ServingRuntime", r.APIVersion+" "+r.Kind)
	require.Equal(t, "serving.kserve.io/v1beta1 InferenceService", s.APIVersion+" "+s.Kind)
	require.Equal(t, "kserve-container", r.Spec.Containers[0].Name)
	checkContainer(t, r.Spec.Containers[0])
	m := s.Spec.Predictor.Model
	require.Equal(t, r.Name, m.Runtime)
	require.Equal(t, r.Spec.SupportedModelFormats[0].Name, m.ModelFormat.Name)
	require.Contains(t, r.Spec.ProtocolVersions, m.ProtocolVersion)
}
