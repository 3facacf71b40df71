/* message.c - a message of a conversation from its JSON; see template.h. */
#include "../../server/base/content.h"
#include "template.h"

ChatMessage template_message_read(const json_t *message, Arena *arena)
{
    return (ChatMessage){json_str(json_object_get(message, "role")),
                         content_text(json_object_get(message, "content"), arena),
                         json_array_size(json_object_get(message, "tool_calls")) > 0};
}
