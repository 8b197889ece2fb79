"""What a searcher needs of an engine, without one: it keeps what it is told."""

from sweeps.plan.schedule import key_of


class Told:
    """Keeps what a searcher tells, and says that there is room for so many trials."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.expected, self.given_up, self.notes = [], [], []

    def expect(self, step):
        """Keep a step that is to start; its worker is told its key."""
        self.expected.append(step)
        return {"key": key_of(step)}

    def labellings(self, signal, teacher):
        """No labels are missing."""
        return []

    def give_up(self, planned, needed):
        """Keep that a trial is not to run, and because of whom."""
        self.given_up.append((planned.trial.label, key_of(needed)))

    def propose(self, planned, plan):
        """Nothing is shown."""

    def note(self, text):
        """Keep what is said."""
        self.notes.append(text)

    def num_at_once(self):
        """The room."""
        return self.room

    def has_room_beside(self, running):
        """Whether less runs than there is room for."""
        return len(list(running)) < self.room
