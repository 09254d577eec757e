"""Planes: MPR, slabs, projections, curved MPR."""
