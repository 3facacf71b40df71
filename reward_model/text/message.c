/* message.c - a message of a conversation from its JSON; see template.h. */
#include "template.h"

ChatMessage template_message_read(const json_t *message)
{
    Str content = json_str(json_object_get(message, "content"));
    return (ChatMessage){json_str(json_object_get(message, "role")),
                         content.ptr != NULL ? content : STR(""),
                         json_array_size(json_object_get(message, "tool_calls")) > 0};
}
