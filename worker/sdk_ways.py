"""What the SDK has shown of how it asks, and what is left to it for a while."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final, TypeVar

from worker.sdk_wire import Place

LEFT_TO_SDK_S: Final = 600.0
"""How long the SDK alone is asked where it was answered and one signed request was not."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Way:
    """Where something is asked for, and with which headers."""

    place: Place
    headers: Mapping[str, str] = field(default_factory=dict)
    left_until: float = 0.0
    """Until when the SDK alone is asked, by the monotonic clock."""

    @property
    def is_open(self) -> bool:
        """Whether it may be asked this way now."""
        return monotonic() >= self.left_until


class Ways(dict[K, Way]):
    """The ways that are known, the one that was learnt first in front."""

    def learn(
        self,
        key: K,
        known: Way | None,
        show: Callable[[], Way | None],
        *,
        is_refused: bool,
        most: int,
    ) -> bool:
        """Keep what the SDK, which was asked after all, has just shown.

        Parameters
        ----------
        known
            The way that was known before it was asked.
        show
            Reads the way off what it has sent; None = there is none but the SDK's own.
        is_refused
            It was answered, where a request that went the known way was not.
        most
            Ways that are kept.

        Returns
        -------
        Whether the SDK alone is asked from now on, for a while.
        """
        if (known and not is_refused) or self.get(key) is not known:
            return False  # nothing is new, or another request has kept it meanwhile
        found = show() or known
        if found is None:
            return False
        if is_refused:
            found = replace(found, left_until=monotonic() + LEFT_TO_SDK_S)
        self.pop(key, None)
        if len(self) >= most:
            del self[next(iter(self))]
        self[key] = found
        return is_refused
