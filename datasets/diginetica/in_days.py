"""Cut the training sessions of events.parquet, in their order, into days of equally many, and write them with times."""

import argparse

import duckdb

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("days", type=int, help="how many")
parser.add_argument("output", help="parquet file to write")
parser.add_argument("--from_day", type=int, default=0, help="leave out those before it, counted from 0")
given = parser.parse_args()
# The sessions of a day are spread over nine tenths of it, and their events are a second apart.
duckdb.sql(f"""
    copy (
        with sessions as (select distinct session_id from 'events.parquet' where split = 'train'),
        placed as (
            select session_id, (row_number() over (order by session_id) - 1) * {given.days} / count(*) over () as place
            from sessions
        )
        select session_id, item_id, timestamp '2016-01-01' + to_seconds(position)
            + to_microseconds(((floor(place) + (place - floor(place)) * .9) * 86_400e6)::bigint) as time
        from 'events.parquet' join placed using (session_id)
        where split = 'train' and place >= {given.from_day}
    ) to '{given.output}'
""")
