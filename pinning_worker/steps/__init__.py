"""The chapters of the story of a pin; `lifecycle.py` builds them and is their table of contents.

Read them in this order:
    asking     NEW-CID: the standing answer, or a place in the queue
    fetching   the closure, or a refusal                      with closure, staging, turns
    quoting    one quote for each (root, months)              answering: repeats of the standing answer
    paying     sightings, proofs, reorgs: a pin is judged     with unbooked
    keeping    audit, receipt, announcement                   losing, checking: blocks that are missing
    owing      paid content that is not here
    ending     reminders, the end, the lapse of a quote       with two_clocks

Furniture: due (the loop), bell, terms, queue, fair_share, shelf, crashes, last_words, receipts, whole_roots,
compare_and_swap. Beside the story: takedown, providing, recovering.

Rules: a chapter stores first and announces then; it rings the bell and never calls the lifecycle.
"""
