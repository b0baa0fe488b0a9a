package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/serve/oip/inference"
	"github.com/nonet-go/nonet/serve/oip/inference/inferenceconnect"
)

// dial is a client of gRPC, over HTTP/2 without TLS.
func (s *testServer) dial(opts ...connect.ClientOption) inferenceconnect.GRPCInferenceServiceClient {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	s.t.Cleanup(tr.CloseIdleConnections)
	return inferenceconnect.NewGRPCInferenceServiceClient(&http.Client{Transport: tr}, s.url, append([]connect.ClientOption{connect.WithGRPC()}, opts...)...)
}

// inferMessage is a request of n pictures with raw contents.
func inferMessage(x []float32, outputs ...string) *inference.ModelInferRequest {
	var raw bytes.Buffer
	_ = binary.Write(&raw, binary.LittleEndian, x)
	m := &inference.ModelInferRequest{ModelName: "small", Id: "9", RawInputContents: [][]byte{raw.Bytes()},
		Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "input", Datatype: "FP32", Shape: []int64{int64(len(x) / 3072), 3, 32, 32}}}}
	for _, o := range outputs {
		m.Outputs = append(m.Outputs, &inference.ModelInferRequest_InferRequestedOutputTensor{Name: o})
	}
	return m
}

func floatsOf(raw []byte) []float32 {
	x := make([]float32, len(raw)/4)
	_ = binary.Read(bytes.NewReader(raw), binary.LittleEndian, x)
	return x
}

// TestGRPC: inference is the bits that REST gives; everything else is told the same.
func TestGRPC(t *testing.T) {
	s := serveTest(t, nil)
	x := testutil.Normal(1, 2*3*32*32)
	want := logitsOf(t, s.m, x, "")
	rest := s.infer("/v2/models/small/infer", tensorRequest(x, ""))
	for _, c := range []inferenceconnect.GRPCInferenceServiceClient{s.dial(), s.dial(connect.WithSendGzip())} {
		m, err := c.ModelInfer(t.Context(), inferMessage(x, "logits", "relu2_1", "probabilities"))
		require.NoError(t, err)
		require.Equal(t, "9", m.Id)
		require.Equal(t, []int64{2, 10}, m.Outputs[0].Shape)
		testutil.CheckBits(t, "logits", nil, floatsOf(m.RawOutputContents[0]), want)
		testutil.CheckBits(t, "conv2_1", nil, floatsOf(m.RawOutputContents[1]), logitsOf(t, s.m, x, "conv2_1"))
		testutil.CheckBits(t, "probabilities", nil, floatsOf(m.RawOutputContents[2]), rest.Outputs[1].floats)
	}
	c := s.dial()
	ctx := t.Context()
	live, err := c.ServerLive(ctx, &inference.ServerLiveRequest{})
	require.True(t, err == nil && live.Live)
	ready, err := c.ServerReady(ctx, &inference.ServerReadyRequest{})
	require.True(t, err == nil && ready.Ready)
	meta, err := c.ServerMetadata(ctx, &inference.ServerMetadataRequest{})
	require.True(t, err == nil && meta.Name == "nonet")
	mm, err := c.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: "small-image"})
	require.NoError(t, err)
	require.Equal(t, "BYTES", mm.Inputs[0].Datatype)
	require.Equal(t, []int64{-1, 10}, mm.Outputs[0].Shape)
	cfg, err := c.ModelConfig(ctx, &inference.ModelConfigRequest{Name: "small"})
	require.NoError(t, err)
	require.Equal(t, inference.DataType_TYPE_FP32, cfg.Config.Input[0].DataType)
	require.Equal(t, inference.ModelInput_FORMAT_NCHW, cfg.Config.Input[0].Format)
	st, err := c.ModelStatistics(ctx, &inference.ModelStatisticsRequest{Name: "small"})
	require.NoError(t, err)
	require.Equal(t, uint64(6), st.ModelStats[0].InferenceCount)
	st, err = c.ModelStatistics(ctx, &inference.ModelStatisticsRequest{})
	require.NoError(t, err)
	require.Len(t, st.ModelStats, 2)
}

// TestGRPCRepository: index, load and unload.
func TestGRPCRepository(t *testing.T) {
	s := serveTest(t, nil)
	c, ctx := s.dial(), t.Context()
	index, err := c.RepositoryIndex(ctx, &inference.RepositoryIndexRequest{})
	require.NoError(t, err)
	require.Len(t, index.Models, 2)
	_, err = c.RepositoryModelUnload(ctx, &inference.RepositoryModelUnloadRequest{ModelName: "small"})
	require.NoError(t, err)
	ready, err := c.ModelReady(ctx, &inference.ModelReadyRequest{Name: "small"})
	require.True(t, err == nil && !ready.Ready)
	_, err = c.ModelInfer(ctx, inferMessage(testutil.Normal(1, 3*32*32)))
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	_, err = c.RepositoryModelLoad(ctx, &inference.RepositoryModelLoadRequest{ModelName: "small"})
	require.NoError(t, err)
	ready, err = c.ModelReady(ctx, &inference.ModelReadyRequest{Name: "small", Version: "1"})
	require.True(t, err == nil && ready.Ready)
	_, err = c.RepositoryModelLoad(ctx, &inference.RepositoryModelLoadRequest{ModelName: "nix"})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
}

// TestGRPCErrors: the codes of what REST has statuses for.
func TestGRPCErrors(t *testing.T) {
	s, release := slow(t, QueueSize(8), MaxPictures(8), MaxBody(1<<20))
	defer release()
	c, ctx := s.dial(), t.Context()
	x := testutil.Normal(1, 3*32*32)
	code := func(ctx context.Context, m *inference.ModelInferRequest) connect.Code {
		_, err := c.ModelInfer(ctx, m)
		return connect.CodeOf(err)
	}
	unknown := inferMessage(x)
	unknown.ModelName = "nix"
	require.Equal(t, connect.CodeNotFound, code(ctx, unknown))
	require.Equal(t, connect.CodeInvalidArgument, code(ctx, inferMessage(x, "conv9_9")))
	nan := append([]float32{float32(math.NaN())}, x[1:]...)
	require.Equal(t, connect.CodeInvalidArgument, code(ctx, inferMessage(nan)))
	require.Equal(t, connect.CodeResourceExhausted, code(ctx, inferMessage(testutil.Normal(1, 90*3*32*32))), "the body")
	require.Equal(t, connect.CodeResourceExhausted, code(ctx, inferMessage(testutil.Normal(1, 8*3*32*32))), "the queue")
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	require.Equal(t, connect.CodeDeadlineExceeded, code(short, inferMessage(x)))
	timed := inferMessage(x)
	timed.Parameters = map[string]*inference.InferParameter{"timeout": {ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: 10_000}}}
	require.Equal(t, connect.CodeDeadlineExceeded, code(ctx, timed))
	require.Contains(t, s.log.String(), `"status_of_call":404`)
}

// TestGRPCStream: answers come in order, and an error does not end the stream.
func TestGRPCStream(t *testing.T) {
	s := serveTest(t, nil, Memory(1<<20))
	x := testutil.Normal(1, 3*32*32)
	stream, err := s.dial().ModelStreamInfer(t.Context())
	require.NoError(t, err)
	for i, outputs := range [][]string{{"logits"}, {"conv9_9"}, {"fc7"}} {
		require.NoError(t, stream.Send(inferMessage(x, outputs...)))
		m, err := stream.Receive()
		require.NoError(t, err)
		if i == 1 {
			require.Contains(t, m.ErrorMessage, "no output")
			continue
		}
		require.Equal(t, outputs[0], m.InferResponse.Outputs[0].Name)
	}
	for range 50 { // more than the memory for requests, if it were not given back
		require.NoError(t, stream.Send(inferMessage(testutil.Normal(1, 2*3*32*32))))
		m, err := stream.Receive()
		require.NoError(t, err)
		require.Empty(t, m.ErrorMessage)
	}
	require.NoError(t, stream.CloseRequest())
	_, err = stream.Receive()
	require.True(t, errors.Is(err, io.EOF))
}

// TestConnectJSON: the same calls as JSON over HTTP/1.1, which Connect adds.
func TestConnectJSON(t *testing.T) {
	s := serveTest(t, nil)
	a := s.json(200, "POST", "/inference.GRPCInferenceService/ServerReady", []byte("{}"), "Content-Type", "application/json")
	require.Equal(t, true, a["ready"])
}
