-- lane: slow
-- New statistics after an import: plans made on empty tables would choose the wrong index.
analyze model, prompt, completion, comparison, annotator, impression, feedback, assignment
