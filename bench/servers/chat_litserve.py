"""LitServe: a language model that computes nothing, by its specification of OpenAI's API."""

import sys

import litserve


class Model(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, prompt):
        for i in range(1000):
            yield f"token {i}"


if __name__ == "__main__":
    server = litserve.LitServer(Model(spec=litserve.OpenAISpec()), accelerator="cpu")
    server.run(port=int(sys.argv[-1]), generate_client_file=False, log_level="error")
