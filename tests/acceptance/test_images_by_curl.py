"""Images in and out by curl, as a form and as the body, of a worker and through a gateway."""

import shutil
import subprocess

import PIL.Image
import pytest

from jina import Deployment, Executor, Flow, requests

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Turning(Executor):
    """Turns images round."""

    @requests(on="/turn")
    def turn(self, image: PIL.Image.Image, angle: int = 90) -> PIL.Image.Image:
        return image.rotate(angle, expand=True)


@pytest.fixture(scope="module", params=["Deployment", "Flow"])
def address(request):
    if request.param == "Flow":
        made = Flow(protocol="http").add(uses=Turning)
    else:
        made = Deployment(uses=Turning, protocol="http")
    with made:
        yield f"http://127.0.0.1:{made.port}/turn"


@pytest.fixture
def curl(tmp_path):
    """Calls curl in a folder with an image of 2 by 3 pixels; gives the status, and where the answer is."""
    PIL.Image.new("RGB", (2, 3), "red").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("no image", encoding="utf-8")

    def one(*arguments):
        command = ["curl", "-s", "-m", "30", "-o", "answer", "-w", "%{http_code} %{content_type}", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout, tmp_path / "answer"

    return one


def size_of(path):
    with PIL.Image.open(path) as image:
        return image.size, image.format


def test_a_form(address, curl):
    told, answer = curl("-F", "image=@a.png", "-F", "angle=90", address)
    assert (told, size_of(answer)) == ("200 image/png", ((3, 2), "PNG"))


def test_the_image_as_the_body(address, curl):
    told, answer = curl("--data-binary", "@a.png", "-H", "Content-Type: image/png", f"{address}?angle=180")
    assert (told, size_of(answer)) == ("200 image/png", ((2, 3), "PNG"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["-F", "image=@a.txt"], ["--data-binary", "@a.txt", "-H", "Content-Type: application/pdf"]]
)
def test_other_media_types_are_refused(address, curl, arguments):
    told, answer = curl(*arguments, address)
    assert told.startswith("415 ")
    assert "image/*" in answer.read_text(encoding="utf-8")
