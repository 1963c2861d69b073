"""What Milepost remembers: pages, milestones and their history, issues, subscribers and the ledger of deliveries."""
