"""Application Auto Scaling's target tracking, as far as AWS describes it.

Sources: Application Auto Scaling User Guide, "Target tracking scaling policies"; Amazon ECS
Developer Guide, "Target tracking"; the alarms that AWS makes for such a policy (three datapoints
above the target; fifteen below 90 % of it). AWS says that it scales out in proportion and in
"more gradually" and not how gradually: `SCALE_IN_STEP` is this model's assumption.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

PERIOD_S: Final = 60
HIGH_PERIODS: Final = 3
LOW_PERIODS: Final = 15
LOW_SHARE: Final = 0.9
SCALE_IN_STEP: Final = 0.25
"""Share of the tasks that one scale-in takes at most (and always one)."""


@dataclass(frozen=True)
class Policy:
    """What infra/modules/autoscaling is told."""

    target: float
    """Jobs waiting or in flight per running task."""
    min_tasks: int
    max_tasks: int
    scale_out_cooldown_s: int = 60
    scale_in_cooldown_s: int = 300
    metric_delay_s: int = 60
    """From the end of a minute until CloudWatch has its number."""
    wake_tasks: int = 1
    wake_cooldown_s: int = 300
    """After waking; AWS counts each policy's cooldown by itself."""


class TargetTracking:
    """Decides once a minute how many tasks there should be."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._delay_periods = -(-policy.metric_delay_s // PERIOD_S)
        self._on_the_way: deque[tuple[float, int]] = deque()
        self._recent: deque[float] = deque(maxlen=LOW_PERIODS)
        self._changed_at_s = -math.inf
        self._woken_at_s = -math.inf

    def decide(self, now_s: int, backlog: float, running: int, desired: int) -> int:
        """Tasks wanted from now on.

        Parameters
        ----------
        now_s
            End of the minute whose numbers are given.
        backlog
            Jobs waiting and in flight then.
        running, desired
            Tasks that run, and that were asked for.
        """
        policy = self._policy
        self._on_the_way.append((backlog, running))
        if len(self._on_the_way) <= self._delay_periods:
            return desired
        seen_backlog, seen_running = self._on_the_way.popleft()
        self._recent.append(seen_backlog / max(seen_running, 1))
        since_s = now_s - self._changed_at_s

        wanted = desired
        if seen_running < 1 and desired < 1:
            if seen_backlog >= 1 and now_s - self._woken_at_s >= policy.wake_cooldown_s:
                wanted = policy.wake_tasks
                self._woken_at_s = now_s
        elif self._is_high() and since_s >= policy.scale_out_cooldown_s:
            wanted = max(desired, math.ceil(desired * self._recent[-1] / policy.target))
        elif self._is_low() and since_s >= policy.scale_in_cooldown_s:
            least = desired - max(1, math.floor(desired * SCALE_IN_STEP))
            wanted = max(least, math.ceil(desired * self._recent[-1] / policy.target))

        wanted = min(max(wanted, policy.min_tasks), policy.max_tasks)
        if wanted != desired:
            self._changed_at_s = now_s
        return wanted

    def _is_high(self) -> bool:
        latest = list(self._recent)[-HIGH_PERIODS:]
        return len(latest) == HIGH_PERIODS and min(latest) > self._policy.target

    def _is_low(self) -> bool:
        return (
            len(self._recent) == LOW_PERIODS and max(self._recent) < LOW_SHARE * self._policy.target
        )
