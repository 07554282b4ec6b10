"""An index: rows that were decoded once, in memory or in a file, to be searched many times."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, overload

from ..embeddings import Embeddings
from ..errors import MismatchError, OptionError
from ..profile.registry import ProfileLike
from . import reading, writing
from .adding import Adding, Updated
from .blocks import Block, selected
from .building import IndexBuild, Progress
from .content import Content
from .filters import chosen
from .found import Hits, located
from .hits import Queries, best_hits, check_k
from .made import MadeOf
from .several import count_of, one_or_more

_FEW = 1 << 16  # rows that a filter leaves: gathered first, and shared by several threads


class SearchIndex:
    """Embeddings of streams, decoded once, to be searched many times; in memory or in a file.

    Safe to search from many threads. `len(index)` counts its items. Ids of containers are kept.

    Args:
        source: As for `search`; more may be added later.
        exact: Keep float32 rows, 4 · D bytes each, which give the scores of `search`. Otherwise
            rows are kept rotated and rounded to int8, D + 4 bytes each, and most scores are off by
            0.001 at most. Symbols of `any/rotation` are int8 already, except at the highest
            qualities, and are kept as they are.
        profile: A private profile's file; a container brings its own.
        device: As for `search`. The embeddings are kept in the memory of this machine.

    Raises:
        DecodeError: Names the streams at fault by their position in the source.

    Examples:
        >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
        >>> index
        <clipcodec.SearchIndex: 100 items, 512 dimensions, 51.6 kB, int8>
        >>> index.search(np.load("embeddings.npy")[7], k=5).ids[0][0]
        '7.jpg'
    """

    def __init__(
        self,
        source: Any = (),
        *,
        exact: bool = False,
        profile: ProfileLike = None,
        device: str | None = None,
    ) -> None:
        self._profile, self._device = profile, device
        self._content = Content.empty(exact)  # replaced as a whole: searches keep the old one
        self._saved: reading.Saved | None = None
        self._clean: Content | None = None  # what the file holds
        self._writing = threading.RLock()
        self.add(source)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            dim = self.dim
            return [counted(len(self), "item"), None if dim is None else counted(dim, "dimension"),
                    sized(self.nbytes), "exact" if self.exact else "int8"]  # fmt: skip

        return shown("SearchIndex", parts)

    def __getstate__(self) -> dict[str, Any]:
        content, file = self._content, self._saved
        if file is not None and content is self._clean:
            content = Content.empty(content.exact)  # another process maps the file
        else:
            file = None
            whole = [block.part(slice(None)) for block in content.blocks]
            content = replace(content, blocks=whole)
        return {"profile": self._profile, "device": self._device, "content": content, "saved": file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._profile, self._device = state["profile"], state["device"]
        self._content, self._saved = state["content"], state["saved"]
        self._clean, self._writing = None, threading.RLock()
        if self._saved is not None:
            before = self._saved
            self._content, self._saved = reading.read(before.place)
            self._clean = self._content
            if self._saved.head != before.head:
                raise MismatchError(f"{before.name} was changed since the index was pickled")

    @property
    def _blocks(self) -> list[Block]:
        return self._content.blocks

    @property
    def exact(self) -> bool:
        """Whether float32 rows are kept."""
        return self._content.exact

    @property
    def dim(self) -> int | None:
        """Width D of the embeddings; None while there are none."""
        return self._content.dim

    @property
    def nbytes(self) -> int:
        """Bytes that the embeddings take, in memory or in the file."""
        return self._content.nbytes

    @property
    def path(self) -> str | None:
        """The file or URL that it was opened from, or saved to last; None: in memory only."""
        return None if self._saved is None else self._saved.path

    @property
    def ids(self) -> list[str | None]:
        """The id of every item, None where it has none; a new list.

        Raises:
            CorruptError: The file is damaged.

        Examples:
            >>> clipcodec.SearchIndex(clipcodec.open("photos.clpc")).ids[:2]
            ['0.jpg', '1.jpg']
        """
        return self._content.ids()

    @property
    def profiles(self) -> dict[str, str]:
        """Names of the profiles that its streams were made with, and the backbone of each.

        Examples:
            >>> clipcodec.SearchIndex(clipcodec.open("photos.clpc")).profiles
            {'openai-vit-b-32/predictive': 'openai-vit-b-32'}
        """
        return dict(sorted(self._content.profiles))

    @property
    def sources(self) -> list[str | None]:
        """Paths of the containers that it was made of; None for streams without one.

        Examples:
            >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
            >>> len(index.sources), index.sources[0].endswith("photos.clpc")
            (1, True)
        """
        return [made.name for made in self._content.made]

    # making

    @overload
    @classmethod
    def build(
        cls, source: Any, path: str | os.PathLike[str] | None = None, *, exact: bool = False,
        progress: Progress | None = None, background: Literal[False] = False,
        profile: ProfileLike = None, device: str | None = None,
    ) -> SearchIndex: ...  # fmt: skip
    @overload
    @classmethod
    def build(
        cls, source: Any, path: str | os.PathLike[str] | None = None, *, exact: bool = False,
        progress: Progress | None = None, background: Literal[True],
        profile: ProfileLike = None, device: str | None = None,
    ) -> IndexBuild[SearchIndex]: ...  # fmt: skip
    @classmethod
    def build(
        cls,
        source: Any,
        path: str | os.PathLike[str] | None = None,
        *,
        exact: bool = False,
        progress: Progress | None = None,
        background: bool = False,
        profile: ProfileLike = None,
        device: str | None = None,
    ) -> SearchIndex | IndexBuild[SearchIndex]:
        """Make an index and save it.

        Args:
            source: As for `search`.
            path: File to save it to, `.clpi` by custom, or a URL; an index that is there is
                replaced. The index is then read from it. None: it stays in memory.
            exact: As for `SearchIndex`.
            progress: Called with the number of items that are in the index, and of all, or None if
                that is not known; some thousands at a time.
            background: Return at once, and let another thread do it.
            profile: As for `SearchIndex`.
            device: As for `SearchIndex`.

        Returns:
            The index; with `background` an `IndexBuild`, whose `result()` is the index.

        Raises:
            DecodeError: As for `SearchIndex`; no file is written.
            OutputExistsError: Another kind of file has this name.
            OSError: The file cannot be written.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> clipcodec.SearchIndex.build(photos, "photos.clpi")
            <clipcodec.SearchIndex: 100 items, 512 dimensions, 51.6 kB, int8>
        """
        index = cls(exact=exact, profile=profile, device=device)
        if path is not None:
            writing.check_target(path)
        total = count_of(source)

        def work(report: Progress) -> SearchIndex:
            report(0, total)
            with index._writing:
                for new in index._adding.everything(source, None):
                    index._content = index._content.plus(new)
                    if new.block is not None:
                        report(len(index), total)
            if path is None:
                return index
            index.save(path)
            return cls.open(path, profile=profile, device=device)

        if background:
            return IndexBuild(index, work, total=total, progress=progress)
        return work(progress or (lambda done, total: None))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        profile: ProfileLike = None,
        device: str | None = None,
    ) -> SearchIndex:
        """Open a saved index. Its rows are not read, but mapped: this takes milliseconds.

        A part of the rows is compared with its check value when it is first searched. An index in
        an object store is read whole, into memory; so does each process that a pickle of it is
        given to.

        Args:
            path: What `save` has written: a path, or a URL.
            profile: As for `SearchIndex`, for what is added to it.
            device: As for `SearchIndex`, for what is added to it.

        Returns:
            The index.

        Raises:
            CorruptError: It is damaged, or no index.
            TruncatedError: It was cut.
            UnsupportedError: Another release has made it: build it again.
            OSError: It cannot be read. Of an object store, StoreError is one.

        Examples:
            >>> clipcodec.SearchIndex(clipcodec.open("photos.clpc")).save("photos.clpi")
            >>> clipcodec.SearchIndex.open("photos.clpi")
            <clipcodec.SearchIndex: 100 items, 512 dimensions, 51.6 kB, int8>
        """
        index = cls(profile=profile, device=device)
        index._content, index._saved = reading.read(path)
        index._clean = index._content
        return index

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write the index to a file, as a whole or not at all.

        Args:
            path: The file, `.clpi` by custom, or a URL; an index that is there is replaced. None,
                or the file that the index was opened from: what was added since is appended to it.
                Nothing can be appended in an object store: there all of it is written again.

        Raises:
            OutputExistsError: Another kind of file has this name.
            OptionError: There is no path, or a store that cannot be written.
            MismatchError: Another process has changed the file since it was opened.
            LockedError: Another process is writing it; in a store nothing tells.
            OSError: It cannot be written.

        Examples:
            >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
            >>> index.save("photos.clpi")
            >>> index.add(clipcodec.open("photos.clpc"))
            >>> index.save()
            >>> len(clipcodec.SearchIndex.open("photos.clpi"))
            200
        """
        with self._writing:
            own, content = self._saved, self._content
            if own is not None and (path is None or reading.is_saved_at(path, own)):
                if content is self._clean:
                    return
                self._saved = writing.update(own, content)
            elif path is not None:
                self._saved = writing.write(path, content)
            else:
                raise OptionError("this index is in no file yet: save it with a path")
            self._clean = content

    def add(self, source: Any) -> None:
        """Append the streams of a source: all of them, or none if one is damaged.

        Args:
            source: As for `search`.

        Raises:
            DecodeError: Names the streams at fault by their position in the source; so are streams
                of another width than those that are there.

        Examples:
            >>> index = clipcodec.SearchIndex()
            >>> index.add(clipcodec.open("photos.clpc"))
            >>> len(index)
            100
        """
        with self._writing:
            content = self._content
            for new in self._adding.everything(source, self.dim):
                content = content.plus(new)
            self._content = content  # all at once: a search that is under way keeps the old rows

    def update(self, source: Any) -> Updated:
        """Bring the index up to date with the container, or containers, that it was made of.

        What was appended to a container since is decoded and added; rows of deleted items are
        dropped. What is another container, or was compacted, is decoded anew. Open the container
        again first: an open one does not see what is appended to its file. `save` writes the
        changes to the index's file.

        Args:
            source: An open container, or a list of them in the same order as before.

        Returns:
            How many items were added and dropped.

        Raises:
            OptionError: It is no container.
            DecodeError: Names the streams at fault; the index stays as it was.

        Examples:
            >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
            >>> with clipcodec.ContainerWriter("photos.clpc", "a") as writer:
            ...     writer.append(clipcodec.open("photos.clpc")[0], id="again.jpg")
            >>> index.update(clipcodec.open("photos.clpc"))
            Updated(added=1, dropped=0, anew=False)
        """
        containers = one_or_more(source)
        with self._writing:
            before = self._content
            content, updated, appended = self._adding.changes(before, containers)
            same = len(content.made) == len(before.made) and all(
                map(MadeOf.equals, content.made, before.made)
            )
            if not same:
                if not appended and self._saved is not None:
                    self._saved = self._saved.outdated()
                self._content = content
        return updated

    def check(self, source: Any) -> None:
        """Check that the index is of this container, or these containers, as they are now.

        Sizes and numbers of items of all blocks are compared, and check values of some.

        Args:
            source: An open container, or a list of them in the same order as before.

        Raises:
            MismatchError: It is of other ones, or these have changed since: what has changed.
            OptionError: It is no container.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> clipcodec.SearchIndex(photos).check(photos)
        """
        containers, made = one_or_more(source), self._content.made
        if len(containers) != len(made):
            raise MismatchError(
                f"{self._name} was made of {len(made)} sources, not of {len(containers)}: build it "
                "again, or index.update(containers)"
            )
        for one, container in zip(made, containers, strict=True):
            one.compare(container, self._name)

    # using

    def search(
        self, queries: Any, k: int = 10, *, ids: Iterable[str] | None = None, where: Any = None
    ) -> Hits:
        """Find the k items with the largest inner product with each query.

        Args:
            queries: As for the function `search`.
            k: As for the function `search`.
            ids: As for the function `search`.
            where: As for the function `search`.

        Returns:
            Scores and positions, (Q, k) each, counted in the order in which streams were added.

        Raises:
            EmbeddingError: As for the function `search`, and so is OptionError.
            DecodeError: The file of the index is damaged, or was cut since it was opened.

        Examples:
            >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
            >>> index.search(np.load("embeddings.npy")[:3], k=5).scores.shape
            (3, 5)
            >>> index.search(np.load("embeddings.npy")[7], ids=["3.jpg", "4.jpg"]).scores.shape
            (1, 2)
        """
        asked, content, k = Queries(queries), self._content, check_k(k)
        blocks: Iterable[Block] = content.blocks
        if content.dim is not None:
            asked.check(content.dim)
        rows = chosen(len(content), content.ids, self._name, ids, where)
        if rows is not None:
            blocks = selected(content.blocks, rows)
            blocks = list(blocks) if len(rows) <= _FEW else blocks
        return located(best_hits(blocks, asked, k), content.origin(), rows)

    def decode_blocks(self) -> Iterator[Embeddings]:
        """Give all rows as embeddings, some thousands at a time.

        Yields:
            (n, D) float32, rows of unit norm, in order: what `decode` returns with `exact`, else
            rounded.

        Raises:
            DecodeError: The file of the index is damaged.

        Examples:
            >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
            >>> [rows.shape for rows in index.decode_blocks()]
            [(100, 512)]
        """
        for block in self._content.blocks:
            yield block.embeddings()

    @property
    def _name(self) -> str:
        return "the index" if self._saved is None else self._saved.path

    @property
    def _adding(self) -> Adding:
        return Adding(self.exact, self._profile, self._device)
