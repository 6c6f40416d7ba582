"""LitServe: texts in batches, upper case."""

import sys
import time

import litserve


class Upper(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["data"][0]["text"]

    def predict(self, texts):
        time.sleep(0.005 + 0.0001 * len(texts))
        return [f"{text.upper()} {len(texts)}" for text in texts]

    def encode_response(self, text):
        return {"data": [{"text": text}]}


if __name__ == "__main__":
    api = Upper(api_path="/gathered", max_batch_size=32, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu").run(
        port=int(sys.argv[-1]), generate_client_file=False, log_level="error"
    )
