"""The limit: a bare grpc.aio server that parses and builds the same messages with upb."""

import asyncio
import sys

import grpc
import numpy as np

from jina.codec import pb


async def call(request, context):
    answer = pb.DataRequestProto()
    answer.header.request_id = request.header.request_id
    endpoint = request.header.exec_endpoint
    for doc in request.data.docs.docs:
        new = answer.data.docs.docs.add()
        new.data["id"].text = doc.data["id"].text
        if endpoint == "/upper":
            new.data["text"].text = doc.data["text"].text.upper()
        elif endpoint == "/double":
            dense = doc.data["embedding"].ndarray.dense
            array = np.frombuffer(dense.buffer, dtype=dense.dtype).reshape(dense.shape) * 2
            out = new.data["embedding"].ndarray.dense
            out.buffer, out.dtype = array.tobytes(), dense.dtype
            out.shape.extend(dense.shape)
        else:
            new.data["blob"].blob = doc.data["blob"].blob
    return answer


async def main(port):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=options)
    handler = grpc.unary_unary_rpc_method_handler(
        call, pb.DataRequestProto.FromString, pb.DataRequestProto.SerializeToString
    )
    services = {"process_single_data": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("jina.JinaSingleDataRequestRPC", services),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[-1])))
