"""Write a log with times: the training sessions of events.parquet, in their order, as so many days of equally many.

`python in_days.py 21 weeks.parquet` makes 21 days of the 21 weeks; `python in_days.py 100 days.parquet 80` makes 100
and leaves the first 80 out.
"""

import sys

import duckdb

parts, output, first = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0
# The sessions of a day are spread over nine tenths of it, and their events are a second apart.
duckdb.sql(f"""
    copy (
        with sessions as (select distinct session_id from 'events.parquet' where split = 'train'),
        placed as (
            select session_id, (row_number() over (order by session_id) - 1) * {parts} / count(*) over () as place
            from sessions
        )
        select session_id, item_id, timestamp '2016-01-01' + to_seconds(position)
            + to_microseconds(((floor(place) + (place - floor(place)) * .9) * 86_400e6)::bigint) as time
        from 'events.parquet' join placed using (session_id)
        where split = 'train' and place >= {first}
    ) to '{output}'
""")
