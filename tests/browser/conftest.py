"""What every browser test needs: a server on a free port, and Chromium from the system."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / "test-results"


# A wait costs nothing when things work, and a busy machine is not a defect.
PATIENCE = 60_000


@contextmanager
def convoscope(home):
    """The address of a Convoscope that keeps its things in the folder `home`, and ends with the block."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = (home / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port),
         "--server.address", "127.0.0.1", "--server.headless", "true"],
        cwd=PROJECT, env=os.environ | {"CONVOSCOPE_HOME": str(home)}, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_stcore/health", process, home / "server.log")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One Convoscope for all browser tests of this process, with a folder of its own."""
    with convoscope(tmp_path_factory.mktemp("convoscope_home")) as address:
        yield address


def _wait_for(url, process, log):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no server within a minute:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def chromium():
    """A Chromium; tests are skipped where none is installed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: run tests/browser/install_chromium.sh")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    playwright.expect.set_options(timeout=PATIENCE)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, request):
    """A new window of 1366 × 768; a screenshot of it is kept in test-results/ when the test fails."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    window = context.new_page()
    window.errors = []
    window.on("pageerror", lambda error: window.errors.append(str(error)))
    window.set_default_timeout(PATIENCE)
    yield window
    if getattr(request.node, "failed", False):
        RESULTS.mkdir(exist_ok=True)
        window.screenshot(path=RESULTS / f"{request.node.name.replace('/', '_')[:80]}.png")
    context.close()


def drawn(page):
    """Wait until the browser has painted what the last key or move has changed, however slow it is."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed
