-- lane: slow
-- New statistics after an import: plans made on empty tables would choose the wrong index.
select statistics_refresh()
