// Nothing to see: what is asked of the map beside it.

export default function ({ data }) {
  if (data) ask(data);
}
