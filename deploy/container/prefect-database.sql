-- Run by PostgreSQL's image once, when its volume is empty: Prefect's tables stay apart from Milepost's.
CREATE DATABASE prefect OWNER milepost;
