"""The steps that flows and single commands share; none of them knows Prefect.

    scrape ─▶ (store) ─▶ publish ─▶ (store) ─▶ dispatch          backfill: store ─▶ store, and no way to delivery
"""
