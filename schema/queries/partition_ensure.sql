-- lane: slow
-- Makes the partitions of this month and the coming ones.
-- $1 months ahead
select partition_ensure($1::integer)
