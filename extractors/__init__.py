"""From a page's text to a milestone, purely: no network, no database.

    Page ─▶ dom (cut, tree) ─▶ witnesses: jsonld, headings, cards, plaintext ─▶ reconcile ─▶ Milestone with evidence
"""
