-- A message's content may be a list of parts, as clients send it: what is said is the parts' text.

-- As base/content.h has it; what is neither a text nor a list says nothing.
create function content_text(content json) returns text language sql immutable as $$
    select case json_typeof(content)
           when 'string' then content #>> '{}'
           when 'array' then
               (select string_agg(case when part ->> 'type' = 'text' then coalesce(part ->> 'text', '')
                                       else '[' || coalesce(left(part ->> 'type', 64), 'part') || ']' end,
                                  E'\n' order by place)
                  from json_array_elements(content) with ordinality as parts (part, place))
           else '' end
$$;

-- The first characters of a comparison's last prompt message and of its candidates, by slot.
create or replace function task_excerpt(project integer, comparison uuid, shown smallint[]) returns jsonb
language plpgsql stable as $$
begin
    return (
    select jsonb_build_object('prompt', left(case json_typeof(p.messages)
                   when 'string' then p.messages #>> '{}'
                   when 'array' then content_text(p.messages -> -1 -> 'content') else '' end, 200))
           || (select jsonb_object_agg(chr(ascii('A') - 1 + s.slot::integer), left(c.content, 200))
                 from unnest(shown) with ordinality as s (index, slot)
                 join completion c on c.project_id = project
                                  and c.id = q.completion_ids[s.index + 1])
      from comparison q join prompt p on p.project_id = project and p.id = q.prompt_id
     where q.project_id = project and q.id = comparison );
end $$;
