"""How it was measured, in a few sentences that a board can read and a sceptic can check."""

METHOD = (
    "Every observer asked each service at fixed moments, whether or not earlier questions had been answered, "
    "so that a hang counts for as long as it lasts; a question that the observer itself asked too late was "
    "thrown away, never counted as an outage. "
    "A recovery time runs from the confirmed injection to the first of a streak of good answers that held, "
    "and is printed with the earliest and the latest moment that the samples allow, widened by the measured "
    "errors of the clocks. "
    "What was not back when the watch ended is written as “> x s”: nobody knows how long it would have "
    "taken; “under x s” beside “unaffected” says that a shorter outage may have been missed."
)
