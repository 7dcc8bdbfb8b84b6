"""A server that knows TCP alone: says at which port it listens and who asks."""

import http.server
import json
import os


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        forwarded_for = self.headers["X-Forwarded-For"]
        found = {"port": os.environ["PORT"], "peer": self.client_address[0], "for": forwarded_for}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
