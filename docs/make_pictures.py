"""`make pictures`: the pictures of Home's cards and of the README, taken from the running app.

Starts the app in an empty home folder, opens every page as a visitor would, and keeps the part of the window
that the page is about. Needs Chromium (tests/browser/install_chromium.sh) and what the tests need.
"""

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CARDS = ROOT / "pages" / "elements" / "home" / "pictures"
FIGURES = ROOT / "docs" / "pictures"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

# page: (its address, what has to be there, the selector that is kept on the card)
PAGES = {
    "occlusion": ("occlusion?image=chelsea", 'canvas[data-pane="map"]', ".panes"),
    "attribution": ("attribution?image=chelsea", ".stage canvas", ".stage"),
    "filters": ("filters", "canvas", '[data-testid="stMainBlockContainer"]'),
    "feature_visualization": ("feature_visualization", "canvas, img", '[data-testid="stMainBlockContainer"]'),
    "activations": ("activations", "canvas", '[data-testid="stMainBlockContainer"]'),
    "data": ("data", "canvas", '[data-testid="stMainBlockContainer"]'),
    "train_monitor": ("train_monitor", "canvas", '[data-testid="stMainBlockContainer"]'),
    "confusion_matrices": ("confusion_matrices", "canvas", '[data-testid="stMainBlockContainer"]'),
    "embedding": ("embedding", "canvas", '[data-testid="stMainBlockContainer"]'),
    "import_checkpoint": (
        "import_checkpoint", '[data-testid="stFileUploader"]', '[data-testid="stMainBlockContainer"]',
    ),
    "conv_arithmetic": ("conv_arithmetic", ".cell", '[data-testid="stMainBlockContainer"]'),
    "losses": ("losses", "svg", '[data-testid="stMainBlockContainer"]'),
}  # fmt: skip
# The README's first screen: what a visitor sees at 1366 × 768.
SHOTS = ("occlusion", "attribution", "filters", "confusion_matrices", "conv_arithmetic", "train_monitor")


def main() -> int:
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        port = _free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
        server = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"CONVOSCOPE_HOME": home}, stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(f"http://localhost:{port}/_stcore/health")
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            for name, (address, there, kept) in PAGES.items():
                _open(page, f"http://localhost:{port}/{address}", there)
                shot = page.screenshot()
                if name in SHOTS:
                    _save(Image.open(io.BytesIO(shot)), FIGURES / f"{name}.webp", 1100)
                _save(_card(page, shot, kept), CARDS / f"{name}.webp", 420)
                print(name)
            page.goto(f"http://localhost:{port}/occlusion?image=chelsea")
            _film(page)
        finally:
            server.terminate()
    return 0


def _open(page: Page, address: str, there: str) -> None:
    page.goto(address, timeout=120_000)
    page.locator(there).first.wait_for(timeout=180_000)
    page.wait_for_timeout(6_000)  # maps that sharpen, rows that are still being drawn


def _card(page: Page, shot: bytes, kept: str) -> Image.Image:
    """The part that is kept, 16 to 10 from its upper left corner."""
    box = page.locator(kept).first.bounding_box() or {"x": 0, "y": 0, "width": 1366, "height": 768}
    left, top = max(0, box["x"]), max(0, box["y"])
    if kept.startswith("[data"):
        left, top = left + 32, 150  # below the bar
    width = min(1366 - left, box["width"])
    height = min(768 - top, width / 1.6)
    width = min(width, 1.6 * height)
    return Image.open(io.BytesIO(shot)).crop((int(left), int(top), int(left + width), int(top + height)))


def _film(page: Page) -> None:
    """Drag the window over the photo: the answer follows. About 40 frames."""
    canvas = page.locator('canvas[data-pane="picture"]')
    canvas.wait_for(timeout=180_000)
    page.wait_for_timeout(12_000)
    box = canvas.bounding_box()
    panes = page.locator(".panes").bounding_box()
    if box is None or panes is None:
        raise SystemExit("The picture of the page Occlusion is not there.")
    clip = {"x": panes["x"], "y": panes["y"], "width": panes["width"], "height": min(panes["height"], 600)}
    frames = []
    page.mouse.move(box["x"] + 0.15 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for step in range(36):
        along = step / 35
        x = box["x"] + (0.15 + 0.6 * along) * box["width"]
        y = box["y"] + (0.2 + 0.65 * along) * box["height"]
        page.mouse.move(x, y)
        page.wait_for_timeout(60)
        frames.append(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))
    page.mouse.up()
    small = [frame.resize((820, round(820 * frame.height / frame.width))) for frame in frames]
    small += [small[-1]] * 8
    FIGURES.mkdir(parents=True, exist_ok=True)
    small[0].save(
        FIGURES / "occlusion_drag.webp",
        save_all=True,
        append_images=small[1:],
        duration=90,
        loop=0,
        quality=70,
    )


def _save(picture: Image.Image, path: Path, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height = round(width * picture.height / picture.width)
    picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(path, quality=82, method=6)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(address: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("The app did not start within two minutes.")


if __name__ == "__main__":
    sys.exit(main())
