package serve

import (
	"compress/zlib"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/nonet-go/nonet/serve/oip"
	"github.com/nonet-go/nonet/serve/oip/inference"
	"github.com/nonet-go/nonet/serve/oip/inference/inferenceconnect"
)

// rpc answers the protocol over gRPC, gRPC-Web and Connect.
type rpc struct{ s *Server }

// routeRPC returns the path and handler of the service.
func (s *Server) routeRPC() (string, http.Handler) {
	return inferenceconnect.NewGRPCInferenceServiceHandler(rpc{s},
		connect.WithReadMaxBytes(int(s.opts.maxBody)), connect.WithInterceptors(connect.UnaryInterceptorFunc(withCode)),
		connect.WithCompression("deflate", func() connect.Decompressor { return &inflater{} },
			func() connect.Compressor { return zlib.NewWriter(io.Discard) }))
}

// withCode gives the errors of calls their codes, and tells the log of them.
func withCode(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		if err == nil {
			return resp, nil
		}
		if line, ok := ctx.Value(lineKey{}).(*logLine); ok {
			line.fail(err)
		}
		return nil, asConnectError(err)
	}
}

// codes are those of statuses; others are CodeInternal.
var codes = map[int]connect.Code{
	http.StatusBadRequest:            connect.CodeInvalidArgument,
	http.StatusForbidden:             connect.CodePermissionDenied,
	http.StatusNotFound:              connect.CodeNotFound,
	http.StatusRequestTimeout:        connect.CodeDeadlineExceeded,
	http.StatusRequestEntityTooLarge: connect.CodeInvalidArgument,
	http.StatusUnprocessableEntity:   connect.CodeFailedPrecondition,
	http.StatusTooManyRequests:       connect.CodeResourceExhausted,
	statusGone:                       connect.CodeCanceled,
	http.StatusServiceUnavailable:    connect.CodeUnavailable,
	http.StatusGatewayTimeout:        connect.CodeDeadlineExceeded,
}

func asConnectError(err error) *connect.Error {
	code, text := status(err)
	c, ok := codes[code]
	if !ok {
		c = connect.CodeInternal
	}
	return connect.NewError(c, errors.New(text))
}

// inflater reads what zlib has compressed.
type inflater struct{ io.ReadCloser }

// Reset implements connect.Decompressor.
func (z *inflater) Reset(r io.Reader) (err error) {
	if old, ok := z.ReadCloser.(zlib.Resetter); ok {
		return old.Reset(r, nil)
	}
	z.ReadCloser, err = zlib.NewReader(r)
	return err
}

// Read implements io.Reader.
func (z *inflater) Read(p []byte) (int, error) {
	if z.ReadCloser == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return z.ReadCloser.Read(p)
}

// Close implements connect.Decompressor.
func (z *inflater) Close() error {
	if z.ReadCloser == nil {
		return nil
	}
	return z.ReadCloser.Close()
}

func (c rpc) ServerLive(context.Context, *inference.ServerLiveRequest) (*inference.ServerLiveResponse, error) {
	return &inference.ServerLiveResponse{Live: true}, nil
}

func (c rpc) ServerReady(context.Context, *inference.ServerReadyRequest) (*inference.ServerReadyResponse, error) {
	return &inference.ServerReadyResponse{Ready: c.s.Ready()}, nil
}

func (c rpc) ModelReady(_ context.Context, r *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	_, err := c.s.repository.lookup(r.Name, r.Version)
	if code, _ := statusOf(err); code == http.StatusServiceUnavailable {
		return &inference.ModelReadyResponse{}, nil
	}
	return &inference.ModelReadyResponse{Ready: true}, err
}

// statusOf is status of an error that may be nil.
func statusOf(err error) (int, string) {
	if err == nil {
		return http.StatusOK, ""
	}
	return status(err)
}

func (c rpc) ServerMetadata(context.Context, *inference.ServerMetadataRequest) (*inference.ServerMetadataResponse, error) {
	return &inference.ServerMetadataResponse{Name: serverName, Version: version(), Extensions: extensions}, nil
}

func (c rpc) ModelMetadata(_ context.Context, r *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	v, err := c.s.repository.lookup(r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	m := &inference.ModelMetadataResponse{Name: v.name(), Versions: c.s.versionsOf(v), Platform: platform}
	for _, t := range v.inputs() {
		m.Inputs = append(m.Inputs, t.message())
	}
	for _, t := range v.outputs() {
		m.Outputs = append(m.Outputs, t.message())
	}
	return m, nil
}

func (t tensorMetadata) message() *inference.ModelMetadataResponse_TensorMetadata {
	return &inference.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
}

func (c rpc) ModelConfig(_ context.Context, r *inference.ModelConfigRequest) (*inference.ModelConfigResponse, error) {
	v, err := c.s.repository.lookup(r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	cfg := c.s.config(v)
	m := &inference.ModelConfig{Name: cfg.Name, Platform: cfg.Platform, Backend: cfg.Backend, MaxBatchSize: int32(cfg.MaxBatchSize),
		DynamicBatching: &inference.ModelDynamicBatching{PreferredBatchSize: []int32{int32(c.s.opts.maxBatch)}, MaxQueueDelayMicroseconds: uint64(c.s.opts.maxDelay.Microseconds())}}
	for _, t := range cfg.Input {
		m.Input = append(m.Input, &inference.ModelInput{Name: t.Name, DataType: inference.DataType(inference.DataType_value[t.DataType]),
			Format: inference.ModelInput_Format(inference.ModelInput_Format_value[t.Format]), Dims: t.Dims})
	}
	for _, t := range cfg.Output {
		m.Output = append(m.Output, &inference.ModelOutput{Name: t.Name, DataType: inference.DataType(inference.DataType_value[t.DataType]), Dims: t.Dims})
	}
	return &inference.ModelConfigResponse{Config: m}, nil
}

func (c rpc) ModelStatistics(_ context.Context, r *inference.ModelStatisticsRequest) (*inference.ModelStatisticsResponse, error) {
	list := c.s.tellAll()
	if r.Name != "" {
		v, err := c.s.repository.lookup(r.Name, r.Version)
		if err != nil {
			return nil, err
		}
		list = []statisticsJSON{c.s.statistics(v.name(), v.version).tell(v.name(), v.version, v.loaded)}
	}
	m := &inference.ModelStatisticsResponse{}
	for _, t := range list {
		m.ModelStats = append(m.ModelStats, t.message())
	}
	return m, nil
}

func (d duration) message() *inference.StatisticDuration {
	return &inference.StatisticDuration{Count: d.Count, Ns: d.Ns}
}

func (t statisticsJSON) message() *inference.ModelStatistics {
	in := t.InferenceStats
	m := &inference.ModelStatistics{Name: t.Name, Version: t.Version, LastInference: uint64(t.LastInference), InferenceCount: t.InferenceCount, ExecutionCount: t.ExecutionCount,
		InferenceStats: &inference.InferStatistics{Success: in["success"].message(), Fail: in["fail"].message(), Queue: in["queue"].message(),
			ComputeInput: in["compute_input"].message(), ComputeInfer: in["compute_infer"].message(), ComputeOutput: in["compute_output"].message(),
			CacheHit: in["cache_hit"].message(), CacheMiss: in["cache_miss"].message()}}
	for _, b := range t.BatchStats {
		m.BatchStats = append(m.BatchStats, &inference.InferBatchStatistics{BatchSize: uint64(b.BatchSize), ComputeInput: b.ComputeInput.message(),
			ComputeInfer: b.ComputeInfer.message(), ComputeOutput: b.ComputeOut.message()})
	}
	for _, u := range t.MemoryUsage {
		m.MemoryUsage = append(m.MemoryUsage, &inference.MemoryUsage{Type: u.Type, Id: u.ID, ByteSize: u.ByteSize})
	}
	return m
}

func (c rpc) ModelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	v, err := c.s.repository.lookup(r.ModelName, r.ModelVersion)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	req, err := oip.FromGRPC(r, v.limits(&c.s.opts))
	if err != nil {
		return nil, err
	}
	resp, err := c.s.infer(ctx, v, req, time.Since(begin))
	if err != nil {
		return nil, err
	}
	return oip.ToGRPC(resp), nil
}

// ModelStreamInfer answers the requests of a stream one after the other.
func (c rpc) ModelStreamInfer(ctx context.Context, stream *connect.BidiStream[inference.ModelInferRequest, inference.ModelStreamInferResponse]) error {
	for {
		r, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m := &inference.ModelStreamInferResponse{}
		if m.InferResponse, err = c.ModelInfer(ctx, r); err != nil {
			_, m.ErrorMessage = status(err)
			m.InferResponse = &inference.ModelInferResponse{Id: r.Id}
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		if keep, ok := ctx.Value(memoryKey{}).(*holder); ok {
			keep.release() // what this message took
		}
	}
}

func (c rpc) RepositoryIndex(_ context.Context, r *inference.RepositoryIndexRequest) (*inference.RepositoryIndexResponse, error) {
	m := &inference.RepositoryIndexResponse{}
	for _, e := range c.s.repository.index(r.Ready) {
		m.Models = append(m.Models, &inference.RepositoryIndexResponse_ModelIndex{Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return m, nil
}

func (c rpc) RepositoryModelLoad(ctx context.Context, r *inference.RepositoryModelLoadRequest) (*inference.RepositoryModelLoadResponse, error) {
	if err := c.s.loadFromOutside(ctx, r.ModelName, len(r.Parameters) > 0); err != nil {
		return nil, err
	}
	return &inference.RepositoryModelLoadResponse{}, nil
}

func (c rpc) RepositoryModelUnload(_ context.Context, r *inference.RepositoryModelUnloadRequest) (*inference.RepositoryModelUnloadResponse, error) {
	if err := c.s.unloadFromOutside(r.ModelName); err != nil {
		return nil, err
	}
	return &inference.RepositoryModelUnloadResponse{}, nil
}

// isStream says whether a path is that of a stream of requests.
func isStream(path string) bool {
	return path == inferenceconnect.GRPCInferenceServiceModelStreamInferProcedure
}

// isRPC says whether a path is the service's.
func isRPC(path string) bool {
	return strings.HasPrefix(path, "/"+inferenceconnect.GRPCInferenceServiceName+"/")
}
