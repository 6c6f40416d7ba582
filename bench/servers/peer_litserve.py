"""LitServe: one text, upper case; an asynchronous API as its documentation advises for light work."""

import sys

import litserve


class Upper(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return [doc["text"] for doc in request["data"]]

    def predict(self, texts):
        return [text.upper() for text in texts]

    def encode_response(self, texts):
        return {"data": [{"text": text} for text in texts]}


if __name__ == "__main__":
    server = litserve.LitServer(Upper(api_path="/upper"), accelerator="cpu")
    server.run(port=int(sys.argv[-1]), generate_client_file=False, log_level="error")
