"""Search emojis by words, by a drawing, or by both: a Flow whose two branches are joined by an index.

The Flow indexes OpenMoji's coloured pictures with their names. Each question is WordNet's definition of a name and
Noto's line drawing of the same emoji; the picture should be among the first ten. Words alone are compared with BM25,
drawings alone with grey pixels. Then the same Flow, from YAML, must give the same answers.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "semantic_search")]

import numpy as np  # noqa: E402
from bm25 import BM25  # noqa: E402
from docarray import DocList  # noqa: E402
from emojis import Emoji, Question, catalogue, questions  # noqa: E402
from encoder import Encoder  # noqa: E402
from image_encoder import ImageEncoder  # noqa: E402
from picture_index import PictureIndex  # noqa: E402
from pictures import Found, Picture  # noqa: E402

from jina import Flow  # noqa: E402

CACHE = HERE.parents[1] / ".cache"
SEED = 2026


def from_python() -> Flow:
    """Words and strokes are encoded side by side where there are any, then joined by the index. Not started yet."""
    return (
        Flow(name="picture_search", protocol=["grpc", "http"])
        .add(
            name="words",
            uses=Encoder,
            uses_requests={"/index": "encode", "/search": "encode"},
            when={"text": {"$exists": True}},
        )
        .add(name="strokes", uses=ImageEncoder, needs="gateway", when={"image": {"$exists": True}})
        .add(name="index", uses=PictureIndex, needs=["words", "strokes"])
    )


def from_yaml() -> Flow:
    """The same Flow from flow.yml."""
    return Flow.load_config(str(HERE / "flow.yml"))


def fill(flow: Flow, emojis: list[Emoji]) -> float:
    """Index the coloured pictures under their characters; gives the seconds it took."""
    started = time.perf_counter()
    pictures = (Picture(id=e.character, text=e.name, image=e.picture) for e in emojis)
    flow.post("/index", pictures, request_size=32, show_progress=True, return_type=DocList[Picture])
    return time.perf_counter() - started


def ask(flow: Flow, asked: list[Question], *, words: bool = True, drawing: bool = True) -> list[Found]:
    """All questions with their words, their drawing, or both."""
    queries = DocList[Picture](
        Picture(text=q.text if words else None, image=q.drawing if drawing else None) for q in asked
    )
    return list(flow.post("/search", queries, request_size=32, results_in_order=True, return_type=DocList[Found]))


def ask_http(port: int, text: str) -> list[tuple[float, str, str]]:
    """Ask by words as any HTTP client does: JSON in, JSON out."""
    body = json.dumps({"data": [{"text": text}], "parameters": {"limit": 3}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return [(m["score"], m["id"], m["text"]) for m in json.load(response)["data"][0]["matches"]]


def recall(found: list[list[str]], asked: list[Question]) -> float:
    """Share of the questions with the right emoji among what was found."""
    return sum(q.right in f for q, f in zip(asked, found, strict=True)) / len(asked)


def ids(answers: list[Found]) -> list[list[str]]:
    """What each answer found, best first."""
    return [[match.id for match in answer.matches] for answer in answers]


def alike(ours: list[Found], theirs: list[Found]) -> bool:
    """Whether all answers found the same with the same scores, but for rounding: requests arrive in any order."""
    return all(
        {m.id for m in a.matches} == {m.id for m in b.matches}
        and np.allclose([m.score for m in a.matches], [m.score for m in b.matches], atol=1e-5)
        for a, b in zip(ours, theirs, strict=True)
    )


def by_pixels(emojis: list[Emoji], asked: list[Question], side: int = 16) -> list[list[str]]:
    """The ten pictures whose grey pixels correlate best with the drawing's: what the network must beat."""
    from PIL import Image

    def grey(pictures: list[bytes]) -> np.ndarray:
        small = [Image.open(io.BytesIO(picture)).convert("L").resize((side, side)) for picture in pictures]
        pixels = np.stack([np.asarray(image, dtype=np.float32).ravel() for image in small])
        pixels -= pixels.mean(axis=1, keepdims=True)
        return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)

    scores = grey([q.drawing for q in asked]) @ grey([e.picture for e in emojis]).T
    return [[emojis[i].character for i in row] for row in np.argsort(-scores, axis=1)[:, :10]]


def by_words(emojis: list[Emoji], asked: list[Question]) -> list[list[str]]:
    """The ten names that BM25 finds."""
    baseline = BM25([e.name for e in emojis])
    return [[emojis[i].character for i in baseline.search(q.text)] for q in asked]


def show(title: str, matches: list[tuple[float, str, str]]) -> None:
    """Print ranked answers."""
    print(f"\n{title}")
    for rank, (score, character, name) in enumerate(matches, 1):
        print(f"  {rank}. {score:.3f}  {character} {name}")


def main() -> int:
    """Run the demonstration; 0 if joining beats each branch, each its baseline, and YAML answers as Python does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1500, help="pictures to index at most [default: 1500]")
    parser.add_argument("--questions", type=int, default=300, help="questions to ask at most [default: 300]")
    parser.add_argument("--graph", type=Path, default=CACHE / "picture_search.svg", help="where to draw the Flow")
    options = parser.parse_args()
    started = time.perf_counter()
    emojis = catalogue(options.size, SEED)
    asked = questions(emojis, options.questions, SEED)

    with from_python() as flow:
        options.graph.parent.mkdir(parents=True, exist_ok=True)
        flow.plot(str(options.graph))
        seconds = fill(flow, emojis)
        print(f"indexed {len(emojis)} pictures in {seconds:.1f} s; the Flow is drawn in {options.graph}")
        both = ask(flow, asked)
        words = ask(flow, asked, drawing=False)
        drawing = ask(flow, asked, words=False)
        best = [(m.score, m.id, m.text) for m in both[0].matches[:3]]
        show(f"gRPC, words and a drawing: {asked[0].text!r} (right: {asked[0].right})", best)
        sentence = "it flies at night and hunts mice"
        show(f"HTTP, words: {sentence!r}", ask_http(flow.ports[1], sentence))

    some = asked[:50]
    with from_yaml() as flow:
        fill(flow, emojis)
        same = alike(ask(flow, some), both[: len(some)])

    ours = {name: recall(ids(answers), asked) for name, answers in (("w", words), ("d", drawing), ("b", both))}
    bm25, pixels = recall(by_words(emojis, asked), asked), recall(by_pixels(emojis, asked), asked)
    print(f"\nrecall@10 of {len(asked)} questions")
    print(f"  words            {ours['w']:.3f}   (BM25 {bm25:.3f})")
    print(f"  drawing          {ours['d']:.3f}   (grey pixels {pixels:.3f})")
    print(f"  words + drawing  {ours['b']:.3f}")
    print(f"the Flow from YAML: {'same' if same else 'DIFFERENT'} answers")
    print(f"done in {time.perf_counter() - started:.1f} s")
    return 0 if ours["b"] > max(ours["w"], ours["d"]) and ours["w"] > bm25 and ours["d"] > pixels and same else 1


if __name__ == "__main__":
    raise SystemExit(main())
