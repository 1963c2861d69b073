"""What Milepost does, one function an act: the doors (console, flows, web) call these and nothing below.

    look ─▶ (store) ─▶ publish ─▶ (store) ─▶ dispatch          backfill: store ─▶ store, and no way to delivery
"""
