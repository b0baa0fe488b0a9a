"""Speaks the Open Inference Protocol over gRPC, by a client generated from the .proto.

Arguments: the folder with inference_pb2.py and inference_pb2_grpc.py, host:port, and a
file with the pictures as float32 [n][3][32][32]. Prints the logits in hexadecimal, and
one line for each thing that was asked for.
"""

import sys

sys.path.insert(0, sys.argv[1])
import grpc  # noqa: E402
import inference_pb2 as pb  # noqa: E402
import inference_pb2_grpc as service  # noqa: E402

with open(sys.argv[3], "rb") as f:
    pictures = f.read()
n = len(pictures) // (4 * 3 * 32 * 32)


def request(**more):
    r = pb.ModelInferRequest(model_name="small", id="42", raw_input_contents=[pictures], **more)
    r.inputs.add(name="input", datatype="FP32", shape=[n, 3, 32, 32])
    r.outputs.add(name="logits")
    return r


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except grpc.RpcError as e:
        return e.code().name
    return "answered"


channel = grpc.insecure_channel(sys.argv[2])
stub = service.GRPCInferenceServiceStub(channel)
assert stub.ServerLive(pb.ServerLiveRequest()).live and stub.ServerReady(pb.ServerReadyRequest()).ready
assert stub.ModelReady(pb.ModelReadyRequest(name="small-image", version="1")).ready
assert stub.ServerMetadata(pb.ServerMetadataRequest()).name == "nonet"
assert list(stub.ModelMetadata(pb.ModelMetadataRequest(name="small")).inputs[0].shape) == [-1, 3, 32, 32]
assert stub.ModelConfig(pb.ModelConfigRequest(name="small")).config.input[0].data_type == pb.TYPE_FP32
for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
    answer = stub.ModelInfer(request(), compression=compression)
    assert answer.id == "42" and list(answer.outputs[0].shape) == [n, 10]
    print("logits", answer.raw_output_contents[0].hex())
for answer in stub.ModelStreamInfer(iter([request(), request()])):
    print("logits", answer.infer_response.raw_output_contents[0].hex())
print("unknown", refused(stub.ModelInfer, pb.ModelInferRequest(model_name="none")))
print("empty", refused(stub.ModelInfer, pb.ModelInferRequest(model_name="small")))
print("timeout", refused(stub.ModelInfer, request(parameters={"timeout": pb.InferParameter(int64_param=1)})))
print("deadline", refused(stub.ModelInfer, request(), timeout=-1))
print("config", refused(stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(
    model_name="small", parameters={"config": pb.ModelRepositoryParameter(string_param="{}")})))
stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="small"))
print("unloaded", refused(stub.ModelInfer, request()))
assert not stub.ModelReady(pb.ModelReadyRequest(name="small")).ready
stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="small"))
assert [m.state for m in stub.RepositoryIndex(pb.RepositoryIndexRequest()).models] == ["READY", "READY"]
assert stub.ModelStatistics(pb.ModelStatisticsRequest(name="small")).model_stats[0].inference_count >= 5 * n
