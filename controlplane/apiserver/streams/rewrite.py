"""Links of a proxied page, led back through the proxy (k8s.io/apimachinery/pkg/util/proxy: Transport).

Only what names the page's own host, or a path from its root, is changed; a relative link works as it is.
"""

from __future__ import annotations

import gzip
import html
import posixpath
import re
import zlib
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

_ATTRIBUTES = {
    "a": {"href"},
    "applet": {"codebase"},
    "area": {"href"},
    "audio": {"src"},
    "base": {"href"},
    "blockquote": {"cite"},
    "body": {"background"},
    "button": {"formaction"},
    "command": {"icon"},
    "del": {"cite"},
    "embed": {"src"},
    "form": {"action"},
    "frame": {"longdesc", "src"},
    "head": {"profile"},
    "html": {"manifest"},
    "iframe": {"longdesc", "src"},
    "img": {"longdesc", "src", "usemap"},
    "input": {"src", "usemap", "formaction"},
    "ins": {"cite"},
    "link": {"href"},
    "object": {"classid", "codebase", "data", "usemap"},
    "q": {"cite"},
    "script": {"src"},
    "source": {"src"},
    "video": {"poster", "src"},
}
_COMMENT_OR_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(?P<name>[a-zA-Z][^\s/>]*)(?P<rest>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>", re.DOTALL
)
_ATTRIBUTE = re.compile(r"(?P<name>[^\s=/>\"']+)(?P<equals>\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s>]+)")
# What stands in these elements is no markup until they end.
_RAW = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"}


class Rewriting(Struct, frozen=True):
    """prefix: the proxy's path before the backend's ("/api/v1/…/proxy"). hosts: names of the page's own host: the
    address that was dialled and the Host that the client sent. scheme, host: put into absolute links; "" for none."""

    prefix: str
    hosts: frozenset[str]
    scheme: str = ""
    host: str = ""

    def link(self, link: str) -> str:
        """The link, led through the proxy when it would lead past it."""
        try:
            parts = urlsplit(link)
        except ValueError:
            return link
        if (parts.netloc and parts.netloc not in self.hosts) or not parts.path.startswith("/"):
            return link
        path = parts.path
        if not path.startswith(self.prefix):
            joined = posixpath.normpath(self.prefix + path)
            path = joined + "/" if path.endswith("/") and joined != "/" else joined
        return urlunsplit((self.scheme, self.host, path, parts.query, parts.fragment))

    def leaves(self, link: str) -> bool:
        """Whether the link leads to another host."""
        try:
            netloc = urlsplit(link).netloc
        except ValueError:
            return True
        return bool(netloc) and netloc not in self.hosts

    def page(self, text: str) -> str:
        """The page with its links rewritten; everything else as it was."""
        out: list[str] = []
        at = 0
        while (match := _COMMENT_OR_TAG.search(text, at)) is not None:
            out.append(text[at : match.start()])
            at = match.end()
            name = (match["name"] or "").lower()
            wanted = _ATTRIBUTES.get(name)
            out.append(self._tag(match[0], wanted) if wanted else match[0])
            if name in _RAW:
                end = re.compile(rf"</{name}\b", re.IGNORECASE).search(text, at)
                stop = end.start() if end else len(text)
                out.append(text[at:stop])
                at = stop
        out.append(text[at:])
        return "".join(out)

    def body(self, data: bytes, encoding: str) -> bytes:
        """The same for bytes as they came. encoding: the Content-Encoding; one that is not known is left alone.

        Raises zlib.error or OSError for bytes that are not what they are said to be.
        """
        if encoding == "gzip":
            return gzip.compress(self.body(gzip.decompress(data), ""))
        if encoding == "deflate":
            packer = zlib.compressobj(wbits=-15)
            return packer.compress(self.body(zlib.decompress(data, -15), "")) + packer.flush()
        if encoding:
            return data
        return self.page(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _tag(self, tag: str, wanted: set[str]) -> str:
        def attribute(match: re.Match[str]) -> str:
            if match["name"].lower() not in wanted:
                return match[0]
            value = match["value"]
            bare = value[1:-1] if value[0] in "\"'" else value
            rewritten = self.link(html.unescape(bare))
            if rewritten == html.unescape(bare):
                return match[0]
            return f'{match["name"]}{match["equals"]}"{html.escape(rewritten)}"'

        return _ATTRIBUTE.sub(attribute, tag)
