-- lane: none
-- A project's id by its name, for the command line.
-- $1 slug
-- index: project_slug_unique
select id, title from project where slug = $1::text
