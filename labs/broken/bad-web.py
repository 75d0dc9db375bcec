"""A web server that does what the first part of the path says: /error, /redirect, /forbidden, /short, /silent, /no-head."""

import http.server
import pathlib
import time

ROOT = pathlib.Path("/srv/www")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        if self.path.startswith("/no-head/"):
            self.send_error(405)
            return
        self.do_GET()

    def do_GET(self):
        what = self.path.split("/")[1]
        file = ROOT / pathlib.PurePosixPath(self.path).name
        if what == "error":
            self.send_error(500)
        elif what == "forbidden":
            self.send_error(403)
        elif what == "redirect":
            self.send_response(301)
            self.send_header("Location", f"http://192.168.0.1/{file.name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif what == "silent":
            time.sleep(3600)
        elif not file.exists():
            self.send_error(404)
        else:
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[: len(content) // 2] if what == "short" else content)


http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
