"""Everything that belongs to one API host: its threads, its gate and its connections."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mdti.errors import ConnectionFailed, DeadlineExceeded, MdtiError, Throttled
from mdti.net.deadline import Deadline
from mdti.net.gate import Gate, GateRules, Outcome, Pass, TooLong
from mdti.net.wire import Wire

_LONGEST_WAIT = 3_600.0  # seconds; locks refuse to wait for infinity


class Lane:
    """One API host's own threads and gate, so that its pauses hold nobody else's work.

    `sleep` is called with the seconds of a pause while no lock is held.
    """

    def __init__(
        self,
        wire: Wire,
        rules: GateRules,
        *,
        name: str,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        random: Callable[[], float],
        closing: threading.Event,
    ) -> None:
        self.name = name
        self.wire = wire
        self._gate = Gate(rules)
        self._places = threading.Condition()
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._closing = closing
        self._threads = ThreadPoolExecutor(rules.maximum, thread_name_prefix=f"mdti {name}")

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` on one of this lane's threads."""
        self._threads.submit(work)

    def enter(self, deadline: Deadline) -> Pass | MdtiError:
        """Wait for a place; an error when `deadline` comes first."""
        while True:
            pause = self._try(deadline)
            if not isinstance(pause, float):
                return pause
            self._sleep(pause)
            if self._closing.is_set():
                return ConnectionFailed(f"The transport to {self.name} closed.", api=self.name)

    def leave(self, given: Pass, outcome: Outcome, *, retry_after: float | None = None) -> None:
        """Give the place back, with what became of the request."""
        with self._places:
            self._gate.leave(
                given,
                outcome,
                now=self._clock(),
                retry_after=retry_after,
                jitter=self._random(),
            )
            self._places.notify(max(0, self._gate.limit - self._gate.in_flight))

    def may_retry(self) -> bool:
        """Spend one retry of this host's quota; False when there is none left."""
        with self._places:
            return self._gate.may_retry()

    def close(self) -> None:
        """Wait for the work under way and close the connections."""
        self._threads.shutdown(wait=True)
        self.wire.close()

    def _try(self, deadline: Deadline) -> Pass | MdtiError | float:
        with self._places:
            while True:
                patience = deadline.remaining()
                answer = self._gate.enter(self._clock(), patience=patience)
                if isinstance(answer, Pass):
                    return answer
                if isinstance(answer, TooLong):
                    return self._give_up(answer)
                if answer.until is not None:
                    return answer.until - self._clock()
                if patience <= 0.0:
                    return self._give_up(None)
                self._places.wait(min(patience, _LONGEST_WAIT))

    def _give_up(self, pause: TooLong | None) -> MdtiError:
        # A place that woke this thread must not be lost on it.
        self._places.notify()
        if pause is None:
            return DeadlineExceeded(f"No time is left for {self.name}.")
        return Throttled(
            f"{self.name} asks to wait {math.ceil(pause.seconds)} s, longer than there is time.",
            api=self.name,
            status=429,
            retry_after=pause.seconds,
        )
