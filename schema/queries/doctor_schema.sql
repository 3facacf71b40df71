-- lane: none
-- What `aileron doctor` looks at in a migrated database.
select (select count(*) from account where is_admin and not is_disabled) as administrators,
       (select system_identifier from ledger_cluster)
           = (select system_identifier from pg_control_system()) as same_cluster,
       to_regclass('feedback_' || to_char((now() + interval '1 day') at time zone 'UTC', 'YYYYMM'))
           is not null as has_partition,
       (select count(*) from assignment where state = 'leased'
           and expires_at < now() - interval '10 minutes') as overdue_leases
