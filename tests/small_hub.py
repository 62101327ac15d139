"""A small Hugging Face Hub on loopback: repositories that can be pushed to, with branches, large files, and tokens.

Large files lie on "another host": `localhost` instead of `127.0.0.1`, to which downloads are redirected.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import loopback
from loopback import Loopback, Page, Refusal, git_oid

WRITER, READER = "hf_theWriterOfThisTest", "hf_theReaderOfThisTest"
REMARK = "a remark of the Hub"  # in every answer, and the Hub's client shows it


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})


class SmallHub(Loopback):
    """A Hub that has `repos`, the `large` files by digest, and records in `seen` who has asked."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.repos: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, str | None]] = []  # host, path, authorization
        self.cuts = 0  # uploads of large files that are refused
        self.elsewhere = f"http://localhost:{self.server_port}"

    def publish(self, name: str) -> None:
        """Serve what a repository has."""
        self.repositories.add(name)
        repo = self.repos[name]
        for branch, files in repo.branches.items():
            commit = commit_of(files)
            about = {"id": name, "sha": commit, "private": repo.private, "gated": repo.gated and "manual"}
            about["siblings"] = [{"rfilename": file} for file in files]
            tree = [
                {"type": "file", "path": file, "size": len(body), "oid": git_oid(body)} for file, body in files.items()
            ]
            for revision in (branch, commit):
                self.serve(f"/api/models/{name}/revision/{revision}", _json(about))
                self.serve(f"/api/models/{name}/tree/{revision}", _json(tree))
                for file, body in files.items():
                    self.serve(f"/{name}/resolve/{revision}/{file}", self._page(file, body, commit))
            if branch == "main":
                self.serve(f"/api/models/{name}", _json(about))

    def _page(self, file: str, body: bytes, commit: str) -> Page:
        if not is_large(file):
            return Page(body=body, headers={"ETag": f'"{git_oid(body)}"', "X-Repo-Commit": commit})
        digest = hashlib.sha256(body).hexdigest()
        self.large[digest] = body
        self.pages.setdefault(f"/cdn/{digest}", Page(body=body, headers={"ETag": f'"{digest}"'}))
        headers = {"Location": f"{self.elsewhere}/cdn/{digest}", "X-Repo-Commit": commit}
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(body))}
        return Page(body=b"", always=Refusal(302, headers))  # type: ignore[arg-type]


def is_large(file: str) -> bool:
    return file.endswith((".safetensors", ".png"))


def commit_of(files: dict[str, bytes]) -> str:
    """Return the hash of a commit with these files."""
    listed = "".join(f"{name} {git_oid(files[name])}\n" for name in sorted(files))
    return hashlib.sha1(listed.encode()).hexdigest()


def _json(value: Any) -> Page:
    return Page(body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


class _Handler(loopback.Handler):
    server: SmallHub

    def _begin(self, status: int, headers: dict[str, str], *length: Any, **more: Any) -> None:
        super()._begin(status, headers | {"X-HF-Warning": f"{self.path}; {REMARK}"}, *length, **more)

    def _answer(self) -> None:
        if self._is_allowed():
            super()._answer()

    def _is_allowed(self) -> bool:
        """Record who asks, and answer those who may not."""
        path, given = unquote(urlsplit(self.path).path), self.headers["Authorization"]
        self.server.seen.append((self.headers["Host"], path, given))
        token = (given or "").removeprefix("Bearer ")
        for name, repo in self.server.repos.items():
            if f"/{name}/" not in f"{path}/":
                continue
            if repo.private and token not in {READER, WRITER}:
                self._begin(401, {"X-Error-Code": "RepoNotFound"}, 0)
                return False
            if repo.gated and "/resolve/" in path and token != WRITER:
                self._begin(403, {"X-Error-Code": "GatedRepo"}, 0)
                return False
        return True

    def do_PUT(self) -> None:
        self._is_allowed()
        digest = self.path.rpartition("/")[2]
        if self.server.cuts:
            self.server.cuts -= 1
            self.rfile.read(1000)
            self.close_connection = True
            self.connection.close()
            return
        body = self._body()
        assert hashlib.sha256(body).hexdigest() == digest
        self.server.large[digest] = body
        self._begin(200, {"ETag": digest}, 0)

    def do_POST(self) -> None:
        body, path = self._body(), unquote(urlsplit(self.path).path)
        if not self._is_allowed():
            return None
        if path == "/api/validate-yaml":
            return self._reply({"errors": [], "warnings": []})
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if token != WRITER:
            return self._begin(403 if token == READER else 401, {"X-Error-Message": "no right to write"}, 0)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        name = next(each for each in self.server.repos if f"/{each}/" in path or f"/{each}.git/" in path)
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        kind, revision = re.search(r"/(preupload|branch|commit)/(.+)$", path).groups()  # type: ignore[union-attr]
        branches = self.server.repos[name].branches
        if kind == "branch":
            status = 409 if revision in branches else 200
            branches.setdefault(revision, dict(branches["main"]))
            return self._reply({}, status)
        if kind == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "lfs" if is_large(f["path"]) else "regular"} for f in files]
            return self._reply({"files": [each | {"shouldIgnore": False, "oid": None} for each in modes]})
        return self._commit(name, revision, body)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if name in self.server.repos:
            return self._reply({"url": f"{self.server.url}/{name}", "error": "exists"}, 409)
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.server.repos[name] = Repository(private=private)
        self.server.publish(name)
        return self._reply({"url": f"{self.server.url}/{name}", "name": name, "id": name})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for each in asked["objects"]:
            href = f"{self.server.elsewhere}/lfs/{each['oid']}"
            known = each["oid"] in self.server.large
            objects.append(each if known else each | {"actions": {"upload": {"href": href}}})
        return self._reply({"objects": objects, "transfer": "basic"})

    def _commit(self, name: str, revision: str, body: bytes) -> None:
        files = self.server.repos[name].branches[revision]
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        self.server.publish(name)
        commit = commit_of(files)
        return self._reply({"commitUrl": f"{self.server.url}/{name}/commit/{commit}", "commitOid": commit})

    def _reply(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self._begin(status, {"Content-Type": "application/json"}, len(content))
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers["Transfer-Encoding"] == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers["Content-Length"] or 0))
