-- lane: write
-- Signs out: this session, or every session of the account.
-- $1 token hash
-- $2 account id
-- $3 everywhere
-- index: session_pkey
delete from session
 where token_hash = $1::bytea or ($3::boolean and account_id = $2::uuid)
