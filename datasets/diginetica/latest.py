"""Write latest/: the day files of days/, to train on the last quarter of the training sessions, valid among them."""

import shutil

import duckdb

TRAIN, VALID = (f"session_start_date=2000-01-{part}.parquet" for part in ("01-train", "02-valid"))

shutil.copytree("days", "latest")
# Of valid, where each prefix of a session is a row, the longest prefix is the whole session.
duckdb.sql(f"""
    copy (
        select * from 'days/{TRAIN}' where split_part(session_id, '-', 2)::int >= 140_000
        union all by name
        select * from 'days/{VALID}' qualify row_number() over (partition by session_id order by len(item_id) desc) = 1
    ) to 'latest/{TRAIN}'
""")
