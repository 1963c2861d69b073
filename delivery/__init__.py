"""A sealed issue goes out to its readers, one message each, at most once without anyone asking.

    ledger.claim ─▶ message.bytes_for ─▶ smtp | maildir ─▶ replies.classify ─▶ ledger.sent | deferred | failed | unknown
                                              dispatch strings them together
"""
