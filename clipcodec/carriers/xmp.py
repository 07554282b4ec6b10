"""An XMP packet: streams as items of its `dc:relation` (formats/inside-images.md, section 2).

Packets are untrusted input. Expat reads them without building a tree, and without entities, as a
document type declaration is refused. They are edited as bytes, so everything else in them stays as
it is.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from ..bitstream import split
from ..errors import CorruptError, DecodeError, ImageError

LIMIT = 1 << 22  # bytes of a packet
_MOST_EMPTY = 16  # packets of a file; of small compressed ones, or of places that overlap
_MAX_DEPTH = 200  # elements inside each other
_MAX_ELEMENTS = 10_000  # in all dc:relation elements together

PREFIX = "data:application/x-clipcodec;base64,"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_SEPARATOR = "\1"  # expat puts it between namespace and name; XML cannot contain it
_ROOT, _DESCRIPTION, _ITEM, _RESOURCE, _BAG, _SEQ, _ALT = (
    f"{_RDF}{_SEPARATOR}{name}"
    for name in ("RDF", "Description", "li", "resource", "Bag", "Seq", "Alt")
)
_ARRAYS = (_BAG, _SEQ, _ALT)
_RELATION = f"{_DC}{_SEPARATOR}relation"

_REMEDY = "rewrite or remove it, with exiftool for example"
_TAG = re.compile(rb"<([^\s/>]+)[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*>")

_NEW_RELATION = (
    f'<dc:relation xmlns:dc="{_DC}" xmlns:rdf="{_RDF}">'
    "<rdf:Bag><rdf:li>%s</rdf:li></rdf:Bag></dc:relation>"
)
_NEW_DESCRIPTION = f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="">%s</rdf:Description>'
_NEW_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f'<rdf:RDF xmlns:rdf="{_RDF}">\n'
    f'<rdf:Description rdf:about="" xmlns:dc="{_DC}">\n'
    "<dc:relation><rdf:Bag><rdf:li>%s</rdf:li></rdf:Bag></dc:relation>\n"
    "</rdf:Description>\n"
    "</rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>'
)


def streams(packet: bytes) -> list[bytes]:
    """The streams in a packet. Raises ImageError (not valid XMP) or CorruptError (base64)."""
    return [_stream(item) for item in _Reader(packet).ours()] if content(packet) else []


def content(packet: bytes) -> bytes:
    """The packet, or b"" for one of white space and zero bytes only, which counts as none."""
    return packet if len(packet) > LIMIT or packet.strip(b"\0 \t\r\n") else b""


def owner(stream: bytes) -> Hashable:
    """The id or digest of a stream's profile; a file holds at most one stream with each."""
    try:
        header, _ = split(stream)
    except DecodeError:
        return stream  # for example of a later format version
    return header.profile_id, header.digest


def check_empty(count: int) -> None:
    """Raise ImageError if a file has that many empty packets: reading them takes too long."""
    if count > _MOST_EMPTY:
        raise ImageError(f"it has more than {_MOST_EMPTY} empty packets of XMP: {_REMEDY}")


def attach(packet: bytes, stream: bytes) -> bytes:
    """The packet (an empty one: a new one) with a stream; it replaces one of the same profile.

    Raises ImageError: not valid XMP, or too large.
    """
    uri = PREFIX + b64encode(stream).decode()
    new = _attached(packet, stream, uri) if content(packet) else (_NEW_PACKET % uri).encode()
    if len(new) > LIMIT:
        raise ImageError(_too_large())
    return new


def _attached(packet: bytes, stream: bytes, uri: str) -> bytes:
    found = _Reader(packet)
    old = [item for item in found.ours() if _is_replaced(item, stream)]
    if [item.value for item in old] == [uri]:
        return packet
    edits = [(item.start, item.end, b"") for item in old]
    if old:
        edits[0] = (old[0].start, old[0].end, _item(packet, old[0], uri))
    else:
        edits = [_insertion(packet, found, uri)]
    for start, end, text in reversed(edits):
        packet = packet[:start] + text + packet[end:]
    return packet


def trimmed(packet: bytes, size: int) -> bytes:
    """The packet with just so much padding cut that it has `size` bytes, if there is enough."""
    end = packet.rfind(b"<?xpacket")
    if len(packet) <= size or end < 0:
        return packet
    padding = end - len(packet[:end].rstrip(b" \t\r\n"))
    return packet[: end - min(padding, len(packet) - size)] + packet[end:]


@dataclass
class _Element:
    """An element at bytes start … end of the packet; its content is inner … last."""

    start: int
    inner: int
    last: int = 0
    end: int = 0
    empty: bool = False  # <like this/>
    texts: list[str] = field(default_factory=list)
    resource: str | None = None  # the attribute rdf:resource
    array: bool = False
    nested: bool = False  # has elements inside, so it has no text value
    children: list[_Element] = field(default_factory=list)

    @property
    def value(self) -> str:
        text = "".join(self.texts) if self.resource is None else self.resource
        return text.strip(" \t\r\n")


class _Reader:
    """Reads a packet, and keeps the elements on the path to the items of dc:relation."""

    def __init__(self, packet: bytes) -> None:
        self.root: _Element | None = None
        self.description: _Element | None = None  # the first one
        self.relations: list[_Element] = []
        self.as_attribute = False  # dc:relation="…", which XMP does not allow
        self._packet = packet.rstrip(b"\0")  # some writers append zero bytes
        if len(packet) > LIMIT:
            raise ImageError(_too_large())
        self._path: list[tuple[str, _Element | None]] = []
        self._level = 0  # the path's length at rdf:RDF
        self._count = 0
        self._parser = parser = expat.ParserCreate("UTF-8", _SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = _refuse_doctype
        try:
            parser.Parse(self._packet, True)
        except expat.ExpatError as error:
            raise ImageError(f"its XMP is not valid XML in UTF-8 ({error}): {_REMEDY}") from error
        if self.root is None:
            raise ImageError(f"its XMP has no rdf:RDF: {_REMEDY}")

    def ours(self) -> Iterator[_Element]:
        """The items that begin with the prefix of a stream."""
        for relation in self.relations:
            for array in relation.children:
                for item in array.children:
                    if not item.nested and item.value.startswith(PREFIX):
                        yield item

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise ImageError(f"its XMP is nested more than {_MAX_DEPTH} elements deep: {_REMEDY}")
        self._path.append((name, self._kept(name, attributes)))

    def _kept(self, name: str, attributes: dict[str, str]) -> _Element | None:
        """The element, if it is on the path to an item, else None."""
        if self.root is None:
            if name == _ROOT:
                self.root, self._level = self._element(), len(self._path)
                return self.root
            return None
        level = len(self._path) - self._level
        parent = self._path[-1][1] if self._path else None
        if level == 1 and name == _DESCRIPTION and parent is self.root:
            self.as_attribute |= _RELATION in attributes
            element = self._element()
            self.description = self.description or element
            return element
        if parent is None or level < 2:
            return None
        if level == 2 and name != _RELATION:
            return None
        if level > 4:
            parent.nested = True
            return None
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            raise ImageError(f"its dc:relation has above {_MAX_ELEMENTS} elements: {_REMEDY}")
        element = self._element()
        element.array = level == 3 and name in _ARRAYS
        element.resource = attributes.get(_RESOURCE)
        if level == 2:
            self.relations.append(element)
        elif level == 3 or (parent.array and name == _ITEM):
            parent.children.append(element)
        return element

    def _element(self) -> _Element:
        start = self._parser.CurrentByteIndex
        tag = _TAG.match(self._packet, start)
        assert tag is not None  # expat has parsed it
        return _Element(start, tag.end(), empty=tag[0].endswith(b"/>"))

    def _text(self, text: str) -> None:
        element = self._path[-1][1]
        if element is not None and len(self._path) - self._level > 2:
            element.texts.append(text)

    def _end(self, _name: str) -> None:
        element = self._path.pop()[1]
        if element is None:
            return
        if element.empty:
            element.last = element.end = element.inner
        else:
            element.last = self._parser.CurrentByteIndex
            element.end = self._packet.index(b">", element.last) + 1


def _refuse_doctype(*_: object) -> None:
    raise ImageError(f"its XMP has a document type declaration, which XMP never has: {_REMEDY}")


def _too_large() -> str:
    return f"its XMP has, or would have, above {LIMIT} bytes: {_REMEDY}"


def _stream(item: _Element) -> bytes:
    text = item.value[len(PREFIX) :]
    try:
        stream = b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        stream = b""
    if not stream or b64encode(stream).decode() != text:
        raise CorruptError("it holds a stream whose base64 is damaged: attach the stream again")
    return stream


def _is_replaced(item: _Element, stream: bytes) -> bool:
    try:
        return owner(_stream(item)) == owner(stream)
    except CorruptError:
        return True  # a damaged one is of no use, and stops the others from being read


def _item(packet: bytes, near: _Element, uri: str) -> bytes:
    """An rdf:li element with the namespace prefix of `near`, an RDF element beside or around it."""
    prefix = _name(packet, near).rpartition(b":")
    name = prefix[0] + prefix[1] + b"li"
    return b"<%s>%s</%s>" % (name, uri.encode(), name)


def _name(packet: bytes, element: _Element) -> bytes:
    tag = _TAG.match(packet, element.start)
    assert tag is not None
    return tag[1]


def _insertion(packet: bytes, found: _Reader, uri: str) -> tuple[int, int, bytes]:
    """Start, end and new text of the edit that adds an item to the first array, or makes one."""
    arrays = [array for relation in found.relations for array in relation.children if array.array]
    for array in arrays:
        if not array.empty:
            return array.last, array.last, _item(packet, array, uri)
    text = _NEW_RELATION % uri
    if found.as_attribute or any(
        relation.value or len(relation.children) > len(arrays) for relation in found.relations
    ):
        raise ImageError(f"the dc:relation of its XMP is not an array: {_REMEDY}")
    if found.relations:
        empty = found.relations[0]
        return empty.start, empty.end, text.encode()
    parent = found.description
    if parent is None:
        parent, text = found.root, _NEW_DESCRIPTION % text
    assert parent is not None
    if not parent.empty:
        return parent.last, parent.last, text.encode()
    name = _name(packet, parent)
    return parent.end - 2, parent.end, b">%s</%s>" % (text.encode(), name)
