-- lane: write
-- Notes that a key is in use, at most once a minute.
-- $1 token hash
-- index: api_key_token
update api_key set last_used_at = now()
 where token_hash = $1::bytea and coalesce(last_used_at < now() - interval '1 minute', true)
