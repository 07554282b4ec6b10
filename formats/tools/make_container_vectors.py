"""Write the scenarios of formats/vectors/container-1 that are not there yet, one file each.

    python formats/tools/make_container_vectors.py

Run by hand when a scenario is added, never by a test. Files that exist are never touched. Bytes are
put together here from the text, so that the package is checked against it, too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import check_containers

FOLDER = check_containers.FOLDER
unhex = bytes.fromhex
OPENING = unhex("89434c50430d0a01")
THREE = [unhex(s) for s in ("6e01aabb", "6e01cc", "6e02ddeeff")]
ONE = unhex("4100")

# the example of the text: one start of a byte for three items, a start of two bytes for the last
SHARED = unhex("00 01 016e02 02 48 01aabb 01cc 02ddeeff")
NAMED = unhex("01 01 024100 00 00 63606460 4c0400")


def block(kind: bytes, body: bytes, count: int = 0, size: int | None = None) -> bytes:
    head = (
        kind + (len(body) if size is None else size).to_bytes(4, "big") + count.to_bytes(4, "big")
    )
    data = head + crc(head) + body
    return data + crc(data)


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def index(*blocks: bytes) -> bytes:
    """Over these blocks."""
    body = b"".join(len(one).to_bytes(4, "big") + one[8:12] for one in blocks)
    return block(b"indx", body + (len(body) + 4).to_bytes(4, "big"))


def closed(*blocks: bytes) -> bytes:
    return OPENING + b"".join(blocks) + index(*blocks)


def data(body: bytes, count: int = 1, before: bytes | None = None) -> bytes:
    one = block(b"DATA", body, count)
    return closed(one) if before is None else closed(before, one)


def write(name: str, content: dict[str, Any]) -> None:
    group = "accept" if content["expect"] == "accept" else "reject"
    path = FOLDER / group / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(path.name)


def accept(
    name: str, comment: str, container: bytes, items: list[tuple[bytes, str | None]],
    metadata: dict[str, Any] | None = None, profile: bytes | None = None,
    piped: str | None = None,
) -> None:  # fmt: skip
    """piped: what a reader says that gives items as it reads, if that is another."""
    content = {
        "comment": comment, "expect": "accept", "container": container.hex(),
        "items": [[stream.hex(), id] for stream, id in items], "metadata": metadata or {},
    }  # fmt: skip
    content |= {} if profile is None else {"profile": profile.hex()}
    write(name, content | ({} if piped is None else {"piped": piped}))


def reject(
    name: str, expect: str, comment: str, container: bytes, *, in_order: bool = False,
    piped: str | None = None,
) -> None:  # fmt: skip
    """in_order: only a reader that goes from block to block notices; piped: as in `accept`."""
    content = {"comment": comment, "expect": expect, "container": container.hex()}
    content |= {} if piped is None else {"piped": piped}
    write(name, content | ({"in_order": True} if in_order else {}))


def ids(plain: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(plain) + deflate.flush()


def texts(*names: bytes) -> bytes:
    """As the field ids says it with step 1 and nothing shared, before it is deflated."""
    lengths = bytes(map(len, names))
    return bytes([0, *[1] * len(names), *bytes(len(names))]) + lengths + b"".join(names)


FIRST = block(b"DATA", SHARED, 3)
SECOND = block(b"DATA", NAMED, 1)
EXAMPLE = closed(FIRST, SECOND)
EXAMPLE_ITEMS: list[tuple[bytes, str | None]] = [*((s, None) for s in THREE), (ONE, "a")]
META = block(b"meta", b'{"made by":"hand"}')
PROFILE = b"profile"
PROF_BODY = unhex("2b28ca4fcbcc490500")
CARRIED = block(b"prof", PROF_BODY)
PLAIN = unhex("00 01 0002 00 4100")  # one item with an empty start
NAMED_ONE = b"\1" + PLAIN[1:]  # and ids come next


def accepted() -> None:
    accept("two-blocks", "the example of container-1.md", EXAMPLE, EXAMPLE_ITEMS)
    accept("no-items", "an index and nothing else", closed(), [])
    accept("metadata", "the example of section 6, then an item", data(PLAIN, before=META),
           [(ONE, None)], {"made by": "hand"})  # fmt: skip
    accept("metadata-alone", "no items", closed(META), [], {"made by": "hand"})
    accept("metadata-late", "a block meta that is not the first is ignored",
           closed(FIRST, block(b"meta", b"not JSON")), EXAMPLE_ITEMS[:3])  # fmt: skip
    accept("skipped-block", "a kind nobody knows, with a small letter",
           closed(FIRST, block(b"note", b"\0"), SECOND), EXAMPLE_ITEMS)  # fmt: skip
    old = [FIRST, index(FIRST)]
    accept("appended", "an index that is out of date, then more",
           closed(*old, SECOND), EXAMPLE_ITEMS)  # fmt: skip
    body = unhex("00 03 0001 016e01 02410000") + bits((0, 1, 2), 2) + unhex("02")
    body += bits((1, 1, 0), 2) + unhex("4100 01cc")
    accept("starts-of-several-lengths", "one empty, one a whole stream",
           data(body, 3), [(ONE, None), (unhex("6e01cc"), None), (ONE, None)])  # fmt: skip
    accept_ids("ids", "none, not ASCII, and twice the same",
               unhex("00 00010101 000002 0f0402") + "Zürich/日.jpgsameme".encode(),
               [None, "Zürich/日.jpg", "same", "same"])  # fmt: skip
    accept_ids("ids-with-numbers", "the example of section 4", unhex("04 2e6a7067 010004 00 03")
               + b"f/9", ["f/9.jpg", None, "f/12.jpg"])  # fmt: skip
    accept_ids("ids-with-zeros", "a number keeps its width, and grows beyond it",
               unhex("00 01028207 00 03") + b"007", ["007", "008", "905"])  # fmt: skip
    accept_ids("ids-with-long-numbers", "15 digits at most are one number",
               unhex("00 0101 0000 1110") + b"1" + b"9" * 15 + b"8" + b"1" + b"0" * 15,
               ["1" + "9" * 15 + "8", "1" + "0" * 15])  # fmt: skip
    accept_ids("ids-of-the-end-alone", "and a number in the end is not raised",
               unhex("02 6137 0101 0000 0001") + b"b", ["a7", "ba7"])  # fmt: skip
    accept_ids("ids-cut-inside-a-character", "shared bytes and end are parts of characters",
               unhex("01 bc 0101 0001 0201 78c3 c3"), ["xü", "xü"])  # fmt: skip
    accept_ids("no-ids-after-all", "flag set, and every step 0", unhex("00 0000"), [None, None])
    long = b"\x6e" + bytes(299)
    body = unhex("00 01 0002") + bytes([9]) + bits((0, 298), 9) + ONE + long
    accept("long-and-short", "lengths in nine bits", data(body, 2), [(ONE, None), (long, None)])

    accepted_profiles()
    accepted_deletions()


def gone(*runs: tuple[int, int, int]) -> bytes:
    """Bytes back to a block, first and last item."""
    return block(b"GONE", b"".join(
        back.to_bytes(8, "big") + first.to_bytes(2, "big") + last.to_bytes(2, "big")
        for back, first, last in runs
    ))  # fmt: skip


BOTH, ALL = len(FIRST + SECOND), (len(FIRST + SECOND), 0, 2)


def accepted_deletions() -> None:
    two = [FIRST, SECOND]
    late = "unsupported"
    accept("deleted", "the example of section 13: the second item of the first block",
           closed(*two, gone((BOTH, 1, 1))), [EXAMPLE_ITEMS[0], *EXAMPLE_ITEMS[2:]],
           piped=late)  # fmt: skip
    accept("deleted-all", "of both blocks", closed(*two, gone(ALL, (len(SECOND), 0, 0))), [],
           piped=late)  # fmt: skip
    accept("deleted-in-any-order", "runs that overlap, and a run twice",
           closed(*two, gone((len(SECOND), 0, 0), (BOTH, 1, 2), (BOTH, 0, 1), (BOTH, 0, 1))), [],
           piped=late)  # fmt: skip
    first = gone((BOTH, 0, 0))
    accept("deleted-in-two-blocks", "each deletes its own, and one item twice",
           closed(*two, first, gone((BOTH + len(first), 0, 1))), EXAMPLE_ITEMS[2:],
           piped=late)  # fmt: skip
    begun = [FIRST, gone((len(FIRST), 0, 2))]
    accept("deleted-and-appended", "an index that is out of date, then the same item again",
           closed(*begun, index(*begun), SECOND), EXAMPLE_ITEMS[3:],
           piped=late)  # fmt: skip
    accept("deleted-nothing", "no runs", closed(*two, gone()), EXAMPLE_ITEMS)
    void = block(b"void", FIRST[16:-4])
    accept("deleted-of-a-void-block", "damage that was cut out takes its deletions along",
           closed(void, SECOND, gone((BOTH, 1, 1))), EXAMPLE_ITEMS[3:])  # fmt: skip
    accept("deleted-of-no-block", "a run that points between two blocks",
           closed(*two, gone((BOTH - 1, 0, 0))), EXAMPLE_ITEMS)  # fmt: skip


def rejected_deletions() -> None:
    two = [FIRST, SECOND]
    for name, comment, runs in [
        ("deleted-backwards", "the first item after the last", [(BOTH, 2, 1)]),
        ("deleted-beyond-the-block", "item 3 of 0 … 2", [(BOTH, 0, 3)]),
        ("deleted-in-itself", "0 bytes back", [(0, 0, 0)]),
        ("deleted-before-the-file", "a byte more than there are", [(8 + BOTH + 1, 0, 0)]),
        ("deleted-far-before-the-file", "2^63 bytes back", [(1 << 63, 0, 0)]),
    ]:
        reject(name, "corrupt", comment, closed(*two, gone(*runs)))
    body = gone((BOTH, 0, 0))[16:-4]
    reject(
        "deletions-of-another-size",
        "corrupt",
        "13 bytes",
        closed(*two, block(b"GONE", body + b"\0")),
    )
    reject("deletions-with-a-count", "corrupt", "1", closed(*two, block(b"GONE", body, 1)))
    wrong = bytearray(gone((BOTH, 0, 0)))
    wrong[-1] ^= 1
    reject("deletions-check-value", "corrupt", "of the block", closed(*two, bytes(wrong)))
    whole = OPENING + FIRST + SECOND + gone((BOTH, 0, 0))
    reject("deletions-truncated", "truncated", "inside of the block", whole[:-3])
    reject("deletions-and-no-index", "truncated", "nothing after it", whole, piped="unsupported")


def accepted_profiles() -> None:
    meta = {"made by": "hand"}
    accept("profile", "the example of section 12: a profile as the first block",
           closed(CARRIED, FIRST), EXAMPLE_ITEMS[:3], profile=PROFILE)  # fmt: skip
    accept("profile-after-metadata", "as the second block",
           closed(META, CARRIED, FIRST), EXAMPLE_ITEMS[:3], meta, PROFILE)  # fmt: skip
    accept("profile-alone", "no items", closed(CARRIED), [], profile=PROFILE)
    accept("profile-and-late-metadata", "a block meta that is not the first is ignored",
           closed(CARRIED, META, FIRST), EXAMPLE_ITEMS[:3], profile=PROFILE)  # fmt: skip
    accept("profile-appended-to", "an index that is out of date, then more",
           closed(CARRIED, FIRST, index(CARRIED, FIRST), SECOND), EXAMPLE_ITEMS,
           profile=PROFILE)  # fmt: skip
    stored = unhex("01 0700 f8ff") + PROFILE
    accept("profile-not-compressed", "a DEFLATE block of stored bytes",
           closed(block(b"prof", stored), FIRST), EXAMPLE_ITEMS[:3], profile=PROFILE)  # fmt: skip
    accept("profile-in-two-deflate-blocks", "stored, and then an empty one",
           closed(block(b"prof", b"\0" + stored[1:] + unhex("01 0000 ffff")), FIRST),
           EXAMPLE_ITEMS[:3], profile=PROFILE)  # fmt: skip
    accept("profile-of-no-bytes", "no profile file, but the items are there",
           closed(block(b"prof", unhex("0300")), FIRST), EXAMPLE_ITEMS[:3],
           profile=b"")  # fmt: skip


def rejected_profiles() -> None:
    bad = {
        "profile-cut": ("DEFLATE stream", PROF_BODY[:-1]),
        "profile-followed": ("DEFLATE stream", PROF_BODY + b"\0"),
        "profile-spoilt": ("a kind of DEFLATE block that is none", b"\7"),
        "profile-as-zlib": ("RFC 1950", zlib.compress(PROFILE)),
        "profile-as-it-is": ("not deflated", PROFILE),
        "profile-empty": ("a body of no bytes", b""),
        "profile-that-explodes": ("2^25 + 1 bytes from few", ids(bytes((1 << 25) + 1))),
    }
    for name, (comment, body) in bad.items():
        reject(name, "corrupt", comment, closed(block(b"prof", body), FIRST))
    reject("profile-with-a-count", "corrupt", "1", closed(block(b"prof", PROF_BODY, 1), FIRST))
    wrong = CARRIED[:-1] + bytes([CARRIED[-1] ^ 1])
    reject("profile-check-value", "corrupt", "of the block", closed(wrong, FIRST))
    note = block(b"note", b"\0")
    for name, comment, blocks in [
        ("profile-twice", "one after the other", [CARRIED, CARRIED, FIRST]),
        ("profile-twice-around-metadata", "the second after meta", [CARRIED, META, CARRIED, FIRST]),
        ("profile-after-items", "at the end", [FIRST, CARRIED]),
        ("profile-between-items", "two blocks around it", [FIRST, CARRIED, SECOND]),
        ("profile-after-another-block", "a kind nobody knows", [note, CARRIED, FIRST]),
        ("profile-after-an-index", "of no blocks", [index(), CARRIED, FIRST]),
        ("profile-third", "after meta twice", [META, META, CARRIED, FIRST]),
    ]:
        reject(name, "corrupt", comment, closed(*blocks), in_order=True)
    reject("profile-truncated", "truncated", "inside of the block", OPENING + CARRIED[:-3])
    reject("profile-and-no-index", "truncated", "nothing after it", OPENING + CARRIED)


def accept_ids(name: str, comment: str, plain: bytes, names: list[str | None]) -> None:
    """One item for each name. plain: the field ids, inflated."""
    body = unhex("01 01 0002 00") + ONE * len(names) + ids(plain)
    accept(name, comment, data(body, len(names)), [(ONE, id) for id in names])


def bits(values: tuple[int, ...], width: int) -> bytes:
    digits = "".join(f"{value:0{width}b}" for value in values)
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def rejected() -> None:
    reject("another-magic", "corrupt", "a PNG", unhex("89504e470d0a1a0a") + EXAMPLE[8:])
    reject("version-2", "unsupported", "version 2", OPENING[:7] + b"\2" + EXAMPLE[8:])
    reject("opening-alone", "truncated", "no block", OPENING)
    reject("without-index", "truncated", "cut after a block", OPENING + FIRST)
    reject("index-not-last", "truncated", "a block after the index", EXAMPLE + FIRST)
    reject("trailing-byte", "truncated", "the beginning of a head after the index", EXAMPLE + b"\0")
    reject("capital-kind", "unsupported", "a kind nobody knows, with a capital letter",
           OPENING + block(b"Note", b""))  # fmt: skip
    reject("body-too-large", "corrupt", "a head that says more than 2^26 bytes",
           OPENING + block(b"note", b"", size=(1 << 26) + 1))  # fmt: skip
    reject("no-items-in-block", "corrupt", "count 0", data(PLAIN, 0))
    reject("too-many-items", "corrupt", "count 65537", data(PLAIN, 65537))
    reject(
        "count-of-an-index", "corrupt", "an index with a count", OPENING + block(b"indx", b"", 1)
    )
    wrong = FIRST[:-4] + crc(FIRST)
    reject("check-value", "corrupt", "of a block", OPENING + wrong + index(wrong))
    for name, comment, body, count in [
        ("flags", "flag 2", b"\2" + PLAIN[1:], 1),
        ("no-starts", "S = 0", unhex("00 00 00 4100"), 1),
        ("more-starts-than-items", "two for one", unhex("00 02 0002 014101 00 4100"), 1),
        ("start-beyond-the-body", "127 bytes", unhex("00 01 7f02 00 4100"), 1),
        ("no-such-start", "number 3 of three", unhex("00 03 0002 014102 014202")
         + bits((0, 1, 3), 2) + unhex("00") + ONE * 3, 3),
        ("start-too-long", "256 bytes", unhex("00 01 8002") + bytes(256) + unhex("00 00"), 1),
        ("padding-of-which", "a bit too many", unhex("00 02 0002 014102 41 00") + ONE * 2, 2),
        ("padding-of-lengths", "a bit too many", unhex("00 01 0002 01 01") + ONE * 3, 2),
        ("width-19", "of lengths", unhex("00 01 0002 13 000000 4100"), 1),
        ("lengths-beyond-the-body", "rests that are not there", unhex("00 01 0003 00 4100"), 1),
        ("an-empty-item", "a stream of no bytes", unhex("00 01 0000 00"), 1),
        ("a-stream-too-long", "2^17 + 1 bytes", unhex("00 01 00818008 00"), 1),
        ("one-byte-more", "after the rests", PLAIN + b"\0", 1),
        ("a-long-varint", "S in two bytes", unhex("00 8100 0002 00 4100"), 1),
        ("a-varint-of-six-bytes", "S", unhex("00 818080808001 0002 00 4100"), 1),
        ("an-empty-body", "no flags", b"", 1),
        ("ids-cut", "DEFLATE stream", NAMED_ONE + ids(texts(b"abc"))[:-1], 1),
        ("ids-followed", "DEFLATE stream", NAMED_ONE + ids(texts(b"abc")) + b"\0", 1),
        ("ids-spoilt", "a kind of block that is none", NAMED_ONE + b"\7", 1),
        ("ids-as-zlib", "RFC 1950", NAMED_ONE + zlib.compress(texts(b"abc")), 1),
        ("ids-missing", "one for two items", NAMED_ONE + ONE + ids(texts(b"abc")), 2),
        ("ids-too-many", "two for one item", NAMED_ONE + ids(texts(b"abc", b"d")), 1),
        ("ids-not-utf-8", "byte ff", NAMED_ONE + ids(texts(b"\xff")), 1),
        ("id-of-no-bytes", "step 1", NAMED_ONE + ids(texts(b"")), 1),
        ("id-too-long", "4097 bytes", NAMED_ONE + ids(unhex("00 01 00 8120") + b"a" * 4097), 1),
        ("id-too-long-with-its-end", "4097 bytes", NAMED_ONE
         + ids(unhex("8020") + b"a" * 4096 + unhex("01 00 01") + b"b"), 1),
        ("ids-share-too-much", "of an id of two bytes", NAMED_ONE + ONE
         + ids(unhex("00 0101 0003 0201") + b"abc"), 2),
        ("ids-raise-nothing", "a name without a number", NAMED_ONE + ONE
         + ids(unhex("00 0102 00 01") + b"a"), 2),
        ("ids-raise-the-first", "no name before", NAMED_ONE + ids(unhex("00 02")), 1),
        ("ids-raise-too-far", "to 16 digits", NAMED_ONE + ONE
         + ids(unhex("00 0102 00 0f") + b"9" * 15), 2),
        ("ids-that-explode", "2^24 + 1 bytes from few", NAMED_ONE + ids(bytes((1 << 24) + 1)), 1),
        ("ids-that-add-up", "4,097 of 2^12 bytes, written in few", unhex("01 01 0002 00")
         + ONE * 4097 + ids(unhex("ff1f") + b"a" * 4095 + bytes([1]) + bytes([2]) * 9
                            + (bytes([1]) + bytes([2]) * 9) * 408 + bytes([1]) + bytes([2]) * 6
                            + bytes(410) + bytes([1]) * 410 + b"0" * 410), 4097),
    ]:  # fmt: skip
        reject(name, "corrupt", comment, data(body, count))
    for name, comment, text in [
        ("metadata-not-json", "a word", b"word"),
        ("metadata-no-object", "a list", b"[1]"),
        ("metadata-not-utf-8", "byte ff", b'{"a":"\xff"}'),
    ]:
        reject(name, "corrupt", comment, closed(block(b"meta", text), FIRST))
    body = index(FIRST)[16:-4]
    reject("index-of-another-size", "corrupt", "its own size is wrong",
           OPENING + FIRST + block(b"indx", body[:-4] + (16).to_bytes(4, "big")))  # fmt: skip
    reject("index-of-other-blocks", "corrupt", "sizes that fit the file, but not its blocks",
           OPENING + FIRST + SECOND + index(FIRST + SECOND[:-4] + b"1234"))  # fmt: skip
    reject("index-with-another-count", "corrupt", "items 2 instead of 3",
           OPENING + FIRST + block(b"indx", body[:7] + b"\2" + body[8:]))  # fmt: skip
    rejected_profiles()
    rejected_deletions()
    damage("truncations", len(EXAMPLE), lambda i: EXAMPLE[:i])
    damage("bit-flips", 8 * len(EXAMPLE), flipped)


def flipped(i: int) -> bytes:
    return EXAMPLE[: i // 8] + bytes([EXAMPLE[i // 8] ^ 0x80 >> i % 8]) + EXAMPLE[i // 8 + 1 :]


def damage(name: str, count: int, spoil: Callable[[int], bytes]) -> None:
    """Every one of a kind to the example; what the reference reader says of it."""
    read = check_containers.reference()
    expect = [read(spoil(i))[0] for i in range(count)]
    assert "accept" not in expect
    write(name, {"comment": f"all {name} of the example", "damage": name, "expect": expect,
                 "container": EXAMPLE.hex()})  # fmt: skip


if __name__ == "__main__":
    accepted()
    rejected()
