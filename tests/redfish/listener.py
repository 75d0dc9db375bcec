"""Writes what is sent to it by POST into a file: headers and body. listener.py ADDRESS PORT FILE"""

import http.server
import sys


class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(sys.argv[3], "a", encoding="utf-8") as told:
            told.write(f"{self.headers}{body}\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Listener).serve_forever()
