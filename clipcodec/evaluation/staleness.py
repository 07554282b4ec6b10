"""Results that the code of today did not make."""

from __future__ import annotations

from ..errors import ClipcodecError, OptionError
from .codecs import parse_codec
from .evaluate import MEASURED_BY, ORIGINAL
from .results import Point, Results, code_digest


def stale(results: Results) -> list[str]:
    """One line for each point whose code has changed since it was measured.

    A point's `code` is compared with the digest of today's code:

      - of the globs in its field `modules`, from the package's folder, if it has one, with the
        text in its field `weights`;
      - else of the codec that its key names, as `parse_codec` reads it, and its `measured` with
        that of the measures.

    Points with `"times": true` hold times of a machine, which no digest decides; they are passed
    over. So are codecs whose package is not installed.
    """
    found = []
    for key, point in results.points.items():
        if point.get("times"):
            continue
        try:
            codes = _codes(point)
        except ImportError:
            continue
        except ClipcodecError as error:
            found.append(f"{key}: {error}")
            continue
        if changed := [name for name, code in codes.items() if point.get(name) != code]:
            found.append(f"{key}: made by other code than today's ({' and '.join(changed)} differ)")
    return found


def _codes(point: Point) -> dict[str, str]:
    """The digests that a point made today would have."""
    if (modules := point.get("modules")) is not None:
        if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
            raise OptionError(f"modules is {modules!r}: expected a list of globs")
        return {"code": code_digest(modules, str(point.get("weights", "")))}
    measured = code_digest(MEASURED_BY)
    if point["key"] == ORIGINAL:
        return {"code": measured}
    codec = parse_codec(str(point["key"]))
    return {"code": code_digest(codec.modules, codec.weights), "measured": measured}
