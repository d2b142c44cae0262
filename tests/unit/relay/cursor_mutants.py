"""The cursor as the state machine drives it, and the same with one rule broken: each of these must be caught."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tests.unit.relay.server_model import Server
from txbox.relay.cursor import Answer, Cursor, Frontier, Group, Holder, Question, Snapshot

__all__ = ["MUTANTS", "Reader"]


class Reader:
    """The steps of a poll, each of which decides nothing itself."""

    def __init__(self, cursor: Cursor) -> None:
        self.frontier = Frontier.of(cursor)

    def holders(self, server: Server) -> list[Holder]:
        return list(server.holders())

    def observe(self, holders: Iterable[Holder]) -> None:
        self.frontier = self.frontier.observe(holders)

    def question(self, *, everything: bool) -> Question:
        return self.frontier.question(everything=everything)

    def stands(self, question: Question, snapshot: Snapshot | None) -> bool:
        return question.stands(snapshot)

    def apply(self, question: Question, answer: Answer) -> None:
        self.frontier = self.frontier.apply(question, answer)

    def regroup(self, groups: Iterable[Group]) -> None:
        self.frontier = replace(self.frontier, groups=tuple(groups))


class LastSeq(Reader):
    """Remembers only how far it has come."""

    def apply(self, question: Question, answer: Answer) -> None:
        super().apply(question, answer)
        self.regroup(())


class UnknownIsNone(Reader):
    """Takes holders that nobody has read yet for none."""

    def apply(self, question: Question, answer: Answer) -> None:
        self.regroup(group if group.holders else replace(group, holders=frozenset()) for group in self.frontier.groups)
        super().apply(question, answer)


class HoldersOfAnOlderRead(Reader):
    """Gives a new gap the holders that it read before the gap was found."""

    known: frozenset[Holder] | None = None

    def observe(self, holders: Iterable[Holder]) -> None:
        self.known = frozenset(holders)
        super().observe(self.known)

    def apply(self, question: Question, answer: Answer) -> None:
        super().apply(question, answer)
        self.regroup(
            replace(group, holders=self.known) if group.holders is None else group for group in self.frontier.groups
        )


class VoidBeyondTheCut(Reader):
    """Takes what a cut answer did not show for what is not there."""

    def apply(self, question: Question, answer: Answer) -> None:
        super().apply(question, replace(answer, cut=False))


class VoidUnasked(Reader):
    """Closes a gap when its last holder leaves, without a look at what that one left behind."""

    def observe(self, holders: Iterable[Holder]) -> None:
        super().observe(holders)
        self.regroup(group for group in self.frontier.groups if not group.abandoned)


class AskedOnce(Reader):
    """Leaves a gap out once it was asked, even when a holder has left since."""

    def observe(self, holders: Iterable[Holder]) -> None:
        now = {holder.vxid: holder for holder in holders}
        self.regroup(replace(group.observed(now), asked=group.asked) for group in self.frontier.groups)


class StandsUnchecked(Reader):
    """Believes that the holders of a gap that was left out are still in progress."""

    def stands(self, question: Question, snapshot: Snapshot | None) -> bool:
        return True


class HolderWithoutXidLeftOut(Reader):
    """Leaves a gap out although nobody can say whether its holder is in progress in a snapshot."""

    def observe(self, holders: Iterable[Holder]) -> None:
        super().observe(Holder(each.vxid, each.xid or 2**62) for each in holders)


class LockOfTheTable(Reader):
    """Takes for holders those who have written a row, not those who have drawn a seq."""

    def holders(self, server: Server) -> list[Holder]:
        return list(server.holders(of_table=True))


class SecondAnswerIgnored(Reader):
    """When gaps were left out wrongly, applies the answer that it has as if they had been asked."""

    def stands(self, question: Question, snapshot: Snapshot | None) -> bool:
        if not super().stands(question, snapshot):
            self.regroup(self._asked())
        return True

    def _asked(self) -> Iterator[Group]:
        for group in self.frontier.groups:
            yield replace(group, asked=False, holders=frozenset()) if group.can_wait else group


MUTANTS: tuple[type[Reader], ...] = (
    LastSeq,
    UnknownIsNone,
    HoldersOfAnOlderRead,
    VoidBeyondTheCut,
    VoidUnasked,
    AskedOnce,
    StandsUnchecked,
    HolderWithoutXidLeftOut,
    LockOfTheTable,
    SecondAnswerIgnored,
)
