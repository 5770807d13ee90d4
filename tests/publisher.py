"""A server on this machine that stands in for those from which weights and data sets are fetched."""

import http.server
import threading
import time
from contextlib import contextmanager
from typing import ClassVar


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves `files`; breaks off in the middle as often as `breaks` says."""

    files: ClassVar[dict[str, bytes]] = {}
    breaks = 0
    pause = 0.0  # seconds after each thousand bytes
    ranges: ClassVar[list[str]] = []

    def do_GET(self):
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked:
            self.ranges.append(asked)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if type(self).breaks:
            type(self).breaks -= 1
            self.wfile.write(data[start : (start + len(data)) // 2])
            self.close_connection = True
            return
        for at in range(start, len(data), 1000) if self.pause else ():
            self.wfile.write(data[at : at + 1000])
            time.sleep(self.pause)
        if not self.pause:
            self.wfile.write(data[start:])

    def log_message(self, *args):
        pass


@contextmanager
def published(files):
    """The address of a server that has these files by path."""
    Publisher.files, Publisher.breaks, Publisher.ranges = files, 0, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
