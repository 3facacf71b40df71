-- lane: none
-- Removes a person's words for good: their conversations' messages and answers become empty, comments
-- and rationales go, and prompts of their split group lose their texts. The facts stay, without text.
-- Snapshots that may have held any of it say so.
-- $1 project id
-- $2 ids of the person: as named by callers, as an account, as an annotator
-- $3 split groups of theirs: the name as given, and pseudonyms of the ids
-- $4 audit id
-- $5 what the caller is called in the audit log
-- Result: one row of counts.
select conversations, answers, comments, prompts, snapshots
  from erase_user($1::integer, $2::uuid[], $3::text[], $4::uuid, $5::text)
