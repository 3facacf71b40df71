-- lane: none
-- What `aileron doctor` looks at in a PostgreSQL server; needs no schema.
select current_setting('server_version_num')::integer as version,
       current_setting('server_version') as version_text,
       current_setting('fsync') as fsync,
       current_setting('full_page_writes') as full_page_writes,
       current_setting('synchronous_commit') as synchronous_commit,
       current_setting('data_checksums') as data_checksums,
       current_setting('server_encoding') as encoding,
       current_setting('max_connections')::integer as max_connections,
       pg_is_in_recovery() as is_standby,
       (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
       pg_database_size(current_database()) as bytes
