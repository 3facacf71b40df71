-- lane: bulk
-- Removes the words of conversations that are older than their project keeps them.
-- $1 limit a project
select erase_expired($1::integer) as conversations
